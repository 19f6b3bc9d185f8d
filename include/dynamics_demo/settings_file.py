"""`airflow_settings.yaml`, in the format of the Astro CLI, and its way into Airflow's REST API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from dynamics_demo.airflow_api import AirflowApi
from dynamics_demo.problems import DemoError

_STRICT = ConfigDict(extra="forbid", frozen=True)


def _from_json(value: object) -> object:
    """The Astro CLI takes JSON text for `variable_value`, and text or a mapping for `conn_extra`."""
    return json.loads(value) if isinstance(value, str) and value else value


JsonObject = Annotated[Mapping[str, Any], BeforeValidator(_from_json)]


class Connection(BaseModel):
    """An Airflow connection as the file has it; blank words are None."""

    model_config = _STRICT

    conn_id: str
    conn_type: str
    conn_host: str | None = None
    conn_schema: str | None = None
    conn_login: str | None = None
    conn_password: str | None = None
    conn_port: int | None = None
    conn_extra: JsonObject | None = None

    def body(self) -> dict[str, Any]:
        """Return what the REST API takes."""
        return {
            "connection_id": self.conn_id,
            "conn_type": self.conn_type,
            "host": self.conn_host,
            "schema": self.conn_schema,
            "login": self.conn_login,
            "password": self.conn_password,
            "port": self.conn_port,
            "extra": json.dumps(dict(self.conn_extra)) if self.conn_extra else None,
        }


class Pool(BaseModel):
    """An Airflow pool as the file has it."""

    model_config = _STRICT

    pool_name: str
    pool_slot: int
    pool_description: str | None = None

    def body(self) -> dict[str, Any]:
        """Return what the REST API takes."""
        return {
            "name": self.pool_name,
            "slots": self.pool_slot,
            "description": self.pool_description,
            "include_deferred": False,
        }


class Variable(BaseModel):
    """An Airflow Variable as the file has it; the project keeps JSON in all of its Variables."""

    model_config = _STRICT

    variable_name: str
    variable_value: JsonObject

    def body(self) -> dict[str, Any]:
        """Return what the REST API takes."""
        return {"key": self.variable_name, "value": json.dumps(dict(self.variable_value), indent=2)}


class AirflowSettings(BaseModel):
    """What stands below `airflow:`."""

    model_config = _STRICT

    connections: tuple[Connection, ...] = ()
    pools: tuple[Pool, ...] = ()
    variables: tuple[Variable, ...] = ()

    def connection(self, conn_id: str) -> Connection:
        """Return the connection of that id; DemoError if the file has none."""
        for connection in self.connections:
            if connection.conn_id == conn_id:
                return connection
        message = f"airflow_settings.yaml has no connection {conn_id}. Restore it from the repository."
        raise DemoError(message)


@dataclass(frozen=True, slots=True)
class LocalValues:
    """What differs from one installation to the next: host and port, CA file, database, staging."""

    dynamics: Mapping[str, str]
    marketing: Connection
    staging: str


def read_settings(path: Path) -> AirflowSettings:
    """Read the file; DemoError with the first thing that is wrong."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return AirflowSettings.model_validate(document["airflow"])
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        message = f"{path.name} cannot be read: {error}"
        raise DemoError(message) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{path.name}: `{where}`: {first['msg']}"
        raise DemoError(message) from None


def with_local_values(settings: AirflowSettings, local: LocalValues) -> AirflowSettings:
    """Return the settings with the values of this installation in place of those meant for everybody."""
    connections = {connection.conn_id: connection for connection in settings.connections}
    connections["dynamics_default"] = local_dynamics(settings.connection("dynamics_default"), local.dynamics)
    connections["marketing_db"] = local.marketing
    variables = tuple(_with_staging(variable, local.staging) for variable in settings.variables)
    return settings.model_copy(update={"connections": tuple(connections.values()), "variables": variables})


def local_dynamics(connection: Connection, emulator: Mapping[str, str]) -> Connection:
    """Point the connection at the local Dynamics, whose `connection.json` is given."""
    host, _, port = emulator["url"].rpartition(":")
    extra = dict(connection.conn_extra or {}) | {
        "tenant_id": emulator["tenant_id"],
        "authority": emulator["authority"],
        "ca_file": emulator["ca_file"],
    }
    update = {
        "conn_host": host,
        "conn_port": int(port),
        "conn_login": emulator["client_id"],
        "conn_password": emulator["client_secret"],
        "conn_extra": extra,
    }
    return connection.model_copy(update=update)


def _with_staging(variable: Variable, staging: str) -> Variable:
    if variable.variable_name != "dynamics_sync":
        return variable
    return variable.model_copy(update={"variable_value": {**variable.variable_value, "staging": staging}})


def import_settings(settings: AirflowSettings, airflow: AirflowApi) -> None:
    """Create or replace each connection, pool and Variable of the file in Airflow."""
    for connection in settings.connections:
        airflow.put("connections", connection.conn_id, connection.body())
    for pool in settings.pools:
        airflow.put("pools", pool.pool_name, pool.body())
    for variable in settings.variables:
        airflow.put("variables", variable.variable_name, variable.body())
