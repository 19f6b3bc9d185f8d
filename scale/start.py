"""Bring the scale demo up: servers, worker machines, settings, and the DAG."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from bench.leads import organisation_of
from dynamics_demo.airflow_api import AirflowApi
from dynamics_demo.console import say
from dynamics_demo.dynamics import DynamicsApi
from dynamics_demo.entities import Entity, read_entities
from dynamics_demo.marketing import MarketingDatabase
from dynamics_demo.problems import DemoError
from dynamics_demo.processes import ProcessRecord
from dynamics_demo.settings_file import (
    AirflowSettings,
    Connection,
    LocalValues,
    import_settings,
    read_settings,
    with_local_values,
)
from scale.control import send_plainly
from scale.environment import WORKERS
from scale.marketing import open_marketing
from scale.object_store import ObjectStore
from scale.servers import STEERING, Servers, stop_all
from scale.site import STAGING, STORE_CONNECTION, STORE_LOGIN, STORE_SECRET, Site, choose_ports
from scale.workers import start_worker


@dataclass(frozen=True, slots=True)
class Size:
    """How many leads are copied, in about how many slices."""

    rows: int
    slices: int

    @property
    def rows_per_slice(self) -> int:
        """What the setting of that name has to be."""
        return max(100, -(-self.rows // self.slices))


@dataclass(frozen=True, slots=True)
class Started:
    """What runs and is ready: `workers` are those that live; `about` is the local Dynamics' connection.json."""

    site: Site
    servers: Servers
    airflow: AirflowApi
    about: Mapping[str, str]
    dynamics: DynamicsApi
    marketing: MarketingDatabase
    store: ObjectStore
    workers: dict[str, ProcessRecord]
    entity: Entity

    def start_worker(self, name: str) -> None:
        """Start a worker on a machine of its own."""
        self.workers[name] = start_worker(self.site, self.servers.ports, name, self.about["ca_file"])


def start_everything(site: Site, size: Size, first_port: int) -> Started:
    """Start all anew, without what an earlier demo left; DemoError if something is not ready in time."""
    stop_all(site)
    shutil.rmtree(site.folder, ignore_errors=True)
    site.prepare()
    _lay_out_dynamics(site, size.rows)
    servers = Servers(site, choose_ports(first_port))
    servers.start(size.rows)
    airflow = servers.airflow()
    servers.wait_until(
        lambda: not airflow.missing_components() and servers.dynamics(), "Airflow and the local Dynamics"
    )
    about = servers.dynamics() or {}
    workers = {name: start_worker(site, servers.ports, name, about["ca_file"]) for name in WORKERS}
    marketing = open_marketing(site, servers.ports)
    import_settings(_settings(site, servers, about, marketing, size), airflow)
    (entity,) = read_entities(site.catalogue)
    servers.wait_until(lambda: _is_listed(airflow, entity.dag_id), f"the DAG {entity.dag_id}")
    servers.wait_until(lambda: _joined(servers) == len(WORKERS), f"{len(WORKERS)} workers")
    send_plainly(about)
    airflow.unpause(entity.dag_id)
    say(f"  Airflow's {', '.join(STEERING)} and {' and '.join(WORKERS)} run; the UI is {airflow.address}")
    return Started(site, servers, airflow, about, DynamicsApi(about), marketing, servers.store(), workers, entity)


def _lay_out_dynamics(site: Site, rows: int) -> None:
    """Take a copy of the organisation, as the demo edits it and the benchmarks keep the original."""
    shutil.copytree(organisation_of(rows), site.emulator)
    (site.emulator / "connection.json").unlink(missing_ok=True)


def _settings(
    site: Site, servers: Servers, about: Mapping[str, str], marketing: MarketingDatabase, size: Size
) -> AirflowSettings:
    # Each machine has the certificate in the folder that its worker runs in.
    local = LocalValues({**about, "ca_file": "ca.pem"}, marketing.connection(), STAGING)
    settings = with_local_values(read_settings(site.settings_file), local)
    store = Connection(
        conn_id=STORE_CONNECTION,
        conn_type="aws",
        conn_login=STORE_LOGIN,
        conn_password=STORE_SECRET,
        conn_extra={"region_name": "us-east-1", "endpoint_url": servers.store().url},
    )
    variables = tuple(
        variable.model_copy(
            update={"variable_value": {**variable.variable_value, "rows_per_slice": size.rows_per_slice}}
        )
        for variable in settings.variables
    )
    return settings.model_copy(update={"connections": (*settings.connections, store), "variables": variables})


def _is_listed(airflow: AirflowApi, dag_id: str) -> bool:
    if errors := airflow.import_errors():
        message = "Airflow cannot read these DAG files:\n" + "\n".join(errors)
        raise DemoError(message)
    return dag_id in airflow.dag_ids("dynamics")


def _joined(servers: Servers) -> int:
    """How many workers listen at the queue: each has a binding of its own for what all of them are told."""
    return servers.broker().scard("_kombu.binding.celery.pidbox")
