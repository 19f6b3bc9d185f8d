"""How to connect to a running emulator: what ``connection.json`` holds, and commands that are ready to be pasted."""

import json
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from dynamics_emulator.identity import CLIENT_ID, CLIENT_SECRET, TENANT_ID


@dataclass(frozen=True)
class Connection:
    """All that a client needs; the names are those of ``connection.json``. Files are absolute paths."""

    url: str
    authority: str
    tenant_id: str
    client_id: str
    client_secret: str
    ca_file: str
    client_certificate_file: str
    client_private_key_file: str
    control_url: str | None

    def json(self) -> str:
        """The content of ``connection.json``."""
        return json.dumps(asdict(self), indent=2) + "\n"


def connection_to(url: str, keys_folder: str, control_url: str | None) -> Connection:
    """The connection to the emulator at an address, whose keys lie in a folder."""
    return Connection(
        url=url,
        authority=f"{url}/{TENANT_ID}",
        tenant_id=TENANT_ID,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        ca_file=f"{keys_folder}/ca.pem",
        client_certificate_file=f"{keys_folder}/client.pem",
        client_private_key_file=f"{keys_folder}/client-key.pem",
        control_url=control_url,
    )


@dataclass(frozen=True)
class Recipe:
    """One way to connect: a title, a sentence, and what to paste."""

    title: str
    text: str
    code: str


def recipes(connection: Connection) -> list[Recipe]:
    """The ways to connect."""
    return [_browser(connection), _curl(connection), _sdk(connection), _airflow(connection), _control(connection)]


def _browser(connection: Connection) -> Recipe:
    text = "Tables, settings, the last requests and the faults. Import the CA file to be spared the warning."
    return Recipe("Browser", text, f"{connection.url}/")


def _curl(connection: Connection) -> Recipe:
    read = f"{connection.url}/api/data/v9.2/leads?$select=lastname&$top=3"
    pick = "import json, sys; print(json.load(sys.stdin)['access_token'])"
    lines = [
        f"CA={shlex.quote(connection.ca_file)}",
        f'TOKEN=$(curl -s --cacert "$CA" {connection.authority}/oauth2/v2.0/token -d grant_type=client_credentials \\',
        f"  -d client_id={connection.client_id} -d client_secret={connection.client_secret} \\",
        f'  -d scope={connection.url}/.default | python3 -c "{pick}")',
        f'curl -s --cacert "$CA" -H "Authorization: Bearer $TOKEN" {shlex.quote(read)}',
    ]
    return Recipe("curl", "A token, and three leads.", "\n".join(lines))


def _sdk(connection: Connection) -> Recipe:
    lines = [
        "import os",
        f"os.environ['REQUESTS_CA_BUNDLE'] = {connection.ca_file!r}",
        "from azure.identity import ClientSecretCredential",
        "from PowerPlatform.Dataverse.client import DataverseClient",
        f"names = ({connection.tenant_id!r}, {connection.client_id!r}, {connection.client_secret!r})",
        f"options = {{'authority': {connection.url!r}, 'disable_instance_discovery': True}}",
        f"client = DataverseClient({connection.url!r}, ClientSecretCredential(*names, **options))",
        "leads = client.records.list('lead', select=['lastname'], top=3)",
        "print(*(lead['lastname'] for lead in leads), sep='\\n')",
    ]
    text = "Three names, for a prompt of Python; needs: pip install PowerPlatform-Dataverse-Client azure-identity."
    return Recipe("Python SDK", text, "\n".join(lines))


def _airflow(connection: Connection) -> Recipe:
    host, _, port = connection.url.rpartition(":")
    extra = {
        "tenant_id": connection.tenant_id,
        "authority": connection.authority,
        "ca_file": connection.ca_file,
    }
    lines = [
        f"PYTHONPATH=plugins {beside_python('airflow')} connections add dynamics_default --conn-type dynamics \\",
        f"  --conn-host {host} --conn-port {port} \\",
        f"  --conn-login {connection.client_id} --conn-password {connection.client_secret} \\",
        f"  --conn-extra {shlex.quote(json.dumps(extra))}",
    ]
    return Recipe(
        "Airflow", "A connection of the type that the sync brings along; from the project's folder.", "\n".join(lines)
    )


def _control(connection: Connection) -> Recipe:
    command = f"{beside_python(Path(sys.executable).name)} -m dynamics_emulator control"
    if connection.control_url is None:
        return Recipe(
            "Switchboard", "It is off. Start the emulator with --control-port to have it.", f"{command} --help"
        )
    lines = [
        f"export DYNAMICS_CONTROL_URL={connection.control_url}",
        f"{command} fault add status-429 --probability 0.05",
        f"{command} status",
    ]
    return Recipe("Switchboard", "Faults, limits, schema changes and the clock.", "\n".join(lines))


def beside_python(command: str) -> str:
    """A command of the Python that runs, as a shell takes it; relative when it lies below the current folder."""
    path = Path(sys.executable).with_name(command)
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
