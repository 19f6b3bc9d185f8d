"""The catalogue's YAML files, read as plain data: which field fills which columns.

The sync has a reader of its own, which the judge must not lean on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

# What is derived is asked for with each value of each row, so it is kept, for which a class needs a `__dict__`.


@dataclass(frozen=True)
class Field:
    """A field: its name in Dynamics, its column without endings, its type, and what else it fills."""

    name: str
    column: str
    type: str
    has_type: bool = False
    has_name: bool = False
    is_optional: bool = False

    @cached_property
    def wire_name(self) -> str:
        """Its name in a row of the Web API."""
        return f"_{self.name}_value" if self.type == "lookup" else self.name

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that it fills."""
        match self.type:
            case "option" | "options":
                return (f"{self.column}_code", f"{self.column}_label")
            case "lookup":
                further = (("type", self.has_type), ("name", self.has_name))
                return (
                    f"{self.column}_id",
                    *(f"{self.column}_{ending}" for ending, there in further if there),
                )
            case _:
                return (self.column,)


@dataclass(frozen=True)
class Entity:
    """One file of the catalogue."""

    name: str
    title: str
    table: str
    key: str
    key_column: str
    fields: tuple[Field, ...]
    has_schedule: bool = True
    #: Whose value stands where both sides changed one; empty where nothing is written to Dynamics.
    wins: str = ""

    @property
    def is_two_way(self) -> bool:
        """Whether what is changed here is written to Dynamics."""
        return bool(self.wins)

    @property
    def dag_id(self) -> str:
        """The id of its DAG."""
        return f"dynamics_{self.name}"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """All columns that Dynamics' values fill, the key first and the version last."""
        return (
            self.key_column,
            *(column for field in self.fields for column in field.columns),
            "crm_version",
        )

    @cached_property
    def types(self) -> Mapping[str, str]:
        """The type of the field that fills a column, by column."""
        return {column: field.type for field in self.fields for column in field.columns}


#: The DAG that writes to Dynamics: it is no entity's own, and runs after those of all that go both ways.
REVERSE = Entity("reverse", "Writing to Dynamics", "", "", "", (), has_schedule=False)


def read_entities(folder: Path) -> tuple[Entity, ...]:
    """Read all files of the catalogue, in the order of their names."""
    return tuple(_entity(yaml.safe_load(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.yaml")))


def _entity(document: Mapping[str, Any]) -> Entity:
    return Entity(
        name=document["entity"],
        title=document["title"],
        table=document["table"],
        key=document["key"]["name"],
        key_column=document["key"]["column"],
        fields=tuple(_field(name, spec) for name, spec in document["fields"].items()),
        has_schedule=document.get("schedule", "") is not None,
        wins=document.get("wins", ""),
    )


def _field(name: str, spec: Mapping[str, Any]) -> Field:
    return Field(
        name=name,
        column=spec["column"],
        type=spec["type"],
        has_type=len(spec.get("targets", ())) > 1,
        has_name=bool(spec.get("name")),
        is_optional=bool(spec.get("optional")),
    )
