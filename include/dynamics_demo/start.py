"""Bring the installation up: servers, settings, DAGs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dynamics_demo.airflow_api import AirflowApi
from dynamics_demo.console import Progress, say
from dynamics_demo.entities import REVERSE, read_entities
from dynamics_demo.installation import PREFERRED_PORTS, Installation, Marketing, choose_ports, read_ports
from dynamics_demo.marketing import MarketingDatabase, open_marketing
from dynamics_demo.problems import DemoError
from dynamics_demo.services import PROFILES, Sample, Services
from dynamics_demo.settings_file import (
    LocalValues,
    import_settings,
    read_settings,
    with_local_values,
)

_DEADLINE = 180.0
_TITLES = {"airflow": "Airflow", "emulator": "the local Dynamics"}


@dataclass(frozen=True, slots=True)
class Started:
    """What runs and is ready; `dynamics` is the local Dynamics' connection.json."""

    airflow: AirflowApi
    dynamics: Mapping[str, str]
    marketing: MarketingDatabase


def start_installation(installation: Installation, kind: Marketing, sample: Sample) -> Started:
    """Start what does not run yet, import the settings, and wait until the DAGs are there.

    Raises DemoError if a server ends, if one is not ready in time, or if a DAG file cannot be read.
    """
    installation.prepare()
    services, socket_folder = _start_servers(installation, sample)
    dynamics, airflow = _wait_for_servers(services)
    marketing = open_marketing(installation, kind, socket_folder)
    local = LocalValues(dynamics, marketing.connection(), installation.staging.as_uri())
    settings = with_local_values(read_settings(installation.settings_file), local)
    import_settings(settings, airflow)
    _wait_for_dags(installation, airflow)
    return Started(airflow, dynamics, marketing)


def _start_servers(installation: Installation, sample: Sample) -> tuple[Services, Path]:
    """Start all servers at once; each has much to do before it answers."""
    before = Services(installation, read_ports(installation)).running()
    services = Services(installation, choose_ports(installation, before))
    for name in sorted(before):
        say(f"  {name} runs already")
    for name, title in _TITLES.items():
        if services.ports[name] != PREFERRED_PORTS[name]:
            say(f"  Port {PREFERRED_PORTS[name]} was not free, so {title} uses {services.ports[name]}.")
    services.require_profile(sample)
    say(f"  The local Dynamics has the profile {services.kept_profile() or sample.profile or PROFILES[0]}.")
    services.start_emulator(sample)
    socket_folder = services.start_postgres()
    services.start_airflow(socket_folder)
    return services, socket_folder


def _wait_for_servers(services: Services) -> tuple[Mapping[str, str], AirflowApi]:
    progress = Progress("Servers")
    airflow = services.airflow()
    dynamics: Mapping[str, str] | None = None
    while True:
        for name in ("emulator", "airflow"):
            services.check_alive(name)
        dynamics = dynamics or services.emulator_connection()
        missing = [*([] if dynamics else ["local Dynamics"]), *airflow.missing_components()]
        if dynamics and not missing:
            progress.done("ready")
            return dynamics, airflow
        if progress.seconds > _DEADLINE:
            message = f"Not ready after {_DEADLINE:.0f} s: {', '.join(missing)}. See .local/logs, then: make stop demo"
            raise DemoError(message)
        progress.show(f"waiting for {', '.join(missing)}")
        time.sleep(1)


def _wait_for_dags(installation: Installation, airflow: AirflowApi) -> None:
    progress = Progress("DAGs")
    entities = read_entities(installation.catalogue)
    wanted = {entity.dag_id for entity in entities} | {REVERSE.dag_id for entity in entities if entity.is_two_way}
    while missing := wanted - airflow.dag_ids("dynamics"):
        errors = airflow.import_errors()
        if errors:
            message = "Airflow cannot read these DAG files:\n" + "\n".join(errors)
            raise DemoError(message)
        if progress.seconds > _DEADLINE:
            message = f"Airflow has not found these DAGs: {', '.join(sorted(missing))}. See .local/logs/airflow.log."
            raise DemoError(message)
        progress.show(f"{len(wanted - missing)} of {len(wanted)}")
        time.sleep(1)
    progress.done(f"{len(wanted)} of {len(wanted)}")
