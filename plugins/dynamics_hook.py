"""The Airflow hook for connections of type `dynamics`."""

import difflib
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic
import requests
from airflow.providers.http.hooks.http import HttpHook

from dynamics_sync.dataverse.auth import Credentials
from dynamics_sync.dataverse.client import DataverseClient, open_client
from dynamics_sync.dataverse.organization import read_organization, who_am_i
from dynamics_sync.dataverse.session import open_session
from dynamics_sync.errors import ConnectionSettingsError, SyncError

_NOT_DONE = "Dynamics was not called"


class ConnectionExtras(pydantic.BaseModel):
    """The extra field of the connection. An unknown word is an error, so that a misspelt one is noticed.

    `certificate` and `private_key` are PEM texts or paths of PEM files. `api_host` is the organisation's
    second host form (`<org>.api.crm4.dynamics.com`), to which links may lead.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    tenant_id: str = pydantic.Field(min_length=1)
    authority: str | None = None
    ca_file: str | None = None
    certificate: str | None = None
    private_key: str | None = pydantic.Field(default=None, repr=False)
    thumbprint: str | None = None
    api_host: str | None = None
    api_version: str = pydantic.Field(default="v9.2", pattern=r"^v\d+\.\d+$")
    proxy: str | None = pydantic.Field(default=None, repr=False)


class BearerForHost(requests.auth.AuthBase):
    """Adds the token to calls of the client's own host, and to no others."""

    def __init__(self, client: DataverseClient) -> None:
        self._client = client

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign the request; one that leads elsewhere is left as it is."""
        if request.url and self._client.is_own(request.url):
            request.headers["Authorization"] = f"Bearer {self._client.token()}"
        return request


class DynamicsHook(HttpHook):
    """Reaches one Dynamics 365 organisation.

    The connection holds the host (and port), the client id as login and the client secret as password;
    everything else stands in its extra field (see ConnectionExtras).
    """

    conn_name_attr = "dynamics_conn_id"
    default_conn_name = "dynamics_default"
    conn_type = "dynamics"
    hook_name = "Dynamics 365"

    def __init__(self, dynamics_conn_id: str = default_conn_name, method: str = "GET", **options: Any) -> None:
        super().__init__(method=method, http_conn_id=dynamics_conn_id, **options)
        self.dynamics_conn_id = dynamics_conn_id

    def get_client(self, **options: Any) -> DataverseClient:
        """Return a client for the organisation; nothing is sent yet.

        `options` are keyword arguments of DataverseClient, such as `longest_wait`. Raises
        ConnectionSettingsError.
        """
        extras = self._extras
        return open_client(
            self._credentials,
            self._address,
            api_version=extras.api_version,
            allowed_hosts=frozenset(filter(None, [extras.api_host])),
            proxy=extras.proxy,
            **options,
        )

    def get_conn(
        self, headers: dict[Any, Any] | None = None, extra_options: dict[str, Any] | None = None
    ) -> requests.Session:
        """Return a session that signs calls of the organisation's host, for operators made for HttpHook.

        `extra_options` are those of HttpHook.run; none of them can change which certificates are trusted.
        """
        client = self.get_client()
        self._set_base_url(self._connection)
        self.merged_extra = dict(extra_options or {})
        session = open_session(self._extras.ca_file, proxy=self._extras.proxy)
        session.auth = BearerForHost(client)
        session.headers.update({"Accept": "application/json", **(headers or {})})
        return session

    def test_connection(self) -> tuple[bool, str]:
        """Sign in and ask Dynamics who we are; the text is shown under the connection form."""
        try:
            client = self.get_client(attempts=1)
            caller, organization = who_am_i(client), read_organization(client)
        except SyncError as error:
            return False, str(error)
        name = organization.friendly_name or organization.unique_name
        return True, f"Connected to {name} ({client.host}) as application user {caller.user_id}"

    def _set_base_url(self, connection: Any) -> None:  # noqa: ARG002 (HttpHook's signature; ours is cached)
        self.base_url = self.get_client().api_url
        self._base_url_initialized = True

    @cached_property
    def _connection(self) -> Any:
        return self.get_connection(self.dynamics_conn_id)

    @cached_property
    def _extras(self) -> ConnectionExtras:
        return read_extras(self._connection.extra_dejson)

    @property
    def _address(self) -> str:
        host, port = (self._connection.host or "").rstrip("/"), self._connection.port
        return f"{host}:{port}" if port else host

    @property
    def _credentials(self) -> Credentials:
        extras = self._extras
        if not self._connection.login:
            what = "The connection has no login, which is the client id of the application"
            raise ConnectionSettingsError(what, not_done=_NOT_DONE)
        return Credentials(
            tenant_id=extras.tenant_id,
            client_id=self._connection.login,
            client_secret=self._connection.password or None,
            certificate_pem=_pem("certificate", extras.certificate),
            private_key_pem=_pem("private_key", extras.private_key),
            thumbprint=extras.thumbprint,
            authority=extras.authority,
            ca_file=_existing("ca_file", extras.ca_file),
        )


def read_extras(extras: dict[str, Any]) -> ConnectionExtras:
    """Check the extra field; raises ConnectionSettingsError, which names the word and the nearest one."""
    # Airflow's form stores an empty text or null for a field that nobody filled in.
    given = {name: value for name, value in extras.items() if value not in (None, "")}
    try:
        return ConnectionExtras.model_validate(given)
    except pydantic.ValidationError as error:
        problems = [_problem(item["type"], str(item["loc"][0]), item["msg"]) for item in error.errors()]
    what = f"The extra field of the connection is wrong: {'; '.join(problems)}"
    raise ConnectionSettingsError(what, not_done=_NOT_DONE)


def _problem(kind: str, name: str, message: str) -> str:
    if kind == "missing":
        return f"{name} is missing"
    if kind != "extra_forbidden":
        return f"{name}: {message}"
    near = difflib.get_close_matches(name, ConnectionExtras.model_fields, n=1)
    return f"{name} is unknown" + (f", did you mean {near[0]}?" if near else "")


def _pem(name: str, value: str | None) -> str | None:
    """Return a PEM text, read from its file where the value is a path."""
    if value is None or "-----BEGIN" in value:
        return value
    try:
        return Path(value).read_text(encoding="ascii")
    except (OSError, ValueError):
        what = f"{name} of the connection is neither a PEM text nor a file that can be read"
        raise ConnectionSettingsError(what, not_done=_NOT_DONE) from None


def _existing(name: str, path: str | None) -> str | None:
    if path is not None and not Path(path).is_file():
        what = f"{name} of the connection names a file that does not exist: {path}"
        raise ConnectionSettingsError(what, not_done=_NOT_DONE)
    return path
