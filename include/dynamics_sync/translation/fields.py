"""How each field of the catalogue is read in this organisation: the catalogue, checked against Dataverse's metadata."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from dynamics_sync.entity import Entity, FieldSpec, FieldType
from dynamics_sync.errors import ColumnMissing, ColumnRetyped

if TYPE_CHECKING:
    # Each task reads the plan, and only begin makes one.
    from dynamics_sync.dataverse.metadata import ColumnMetadata, TableMetadata

LOOKUP_TYPE = "Microsoft.Dynamics.CRM.lookuplogicalname"
FORMATTED_VALUE = "OData.Community.Display.V1.FormattedValue"


class Wire(StrEnum):
    """What JSON brings for a column, and so how it is staged."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    DATE = "date"


#: The catalogue's types, the Dataverse attribute types that each accepts, and what is on the wire.
_ACCEPTED: Mapping[FieldType, tuple[frozenset[str], Wire]] = {
    FieldType.TEXT: (frozenset({"String", "Memo", "EntityName"}), Wire.TEXT),
    FieldType.INTEGER: (frozenset({"Integer", "BigInt"}), Wire.INTEGER),
    FieldType.DECIMAL: (frozenset({"Decimal"}), Wire.DECIMAL),
    FieldType.MONEY: (frozenset({"Money"}), Wire.DECIMAL),
    FieldType.FLOAT: (frozenset({"Double"}), Wire.FLOAT),
    FieldType.BOOLEAN: (frozenset({"Boolean"}), Wire.BOOLEAN),
    FieldType.INSTANT: (frozenset({"DateTime"}), Wire.INSTANT),
    FieldType.DATE: (frozenset({"DateTime"}), Wire.DATE),
    FieldType.GUID: (frozenset({"Uniqueidentifier", "Lookup"}), Wire.TEXT),
    FieldType.OPTION: (frozenset({"Picklist", "State", "Status"}), Wire.INTEGER),
    FieldType.OPTIONS: (frozenset({"MultiSelectPicklist"}), Wire.TEXT),
    FieldType.LOOKUP: (frozenset({"Lookup", "Owner", "Customer"}), Wire.TEXT),
}

#: Digits in all, by digits behind the point; Dataverse's widest money and decimal fit.
_PRECISIONS = {4: 19, 10: 38}


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """How one field is read: its name on the wire, its form there, and the annotations that come with it."""

    field: str
    wire_name: str
    wire: Wire
    scale: int | None = None
    options: Mapping[int, str] | None = None
    annotations: tuple[str, ...] = ()

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of the staged column."""
        if self.wire is Wire.DECIMAL:
            scale = self.scale or 0
            return pa.decimal128(_PRECISIONS[scale], scale)
        return _STAGED_TYPES[self.wire]


_STAGED_TYPES: Mapping[Wire, pa.DataType] = {
    Wire.TEXT: pa.string(),
    Wire.INTEGER: pa.int64(),
    Wire.FLOAT: pa.float64(),
    Wire.BOOLEAN: pa.bool_(),
    Wire.INSTANT: pa.timestamp("us", "UTC"),
    Wire.DATE: pa.date32(),
}


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How one table is read: its set, its key, and its fields. What begin writes down and the other tasks follow."""

    table: str
    set_name: str
    key: str
    fields: tuple[FieldPlan, ...]
    #: Optional fields that this organisation does not have.
    absent: tuple[str, ...] = ()

    @property
    def select(self) -> tuple[str, ...]:
        """The properties to ask for."""
        return (self.key, "versionnumber", *(plan.wire_name for plan in self.fields))

    @property
    def prefer(self) -> tuple[str, ...]:
        """The preference that brings the annotations, and no others; they would double the answer."""
        wanted = sorted({annotation for plan in self.fields for annotation in plan.annotations})
        return (f'odata.include-annotations="{",".join(wanted)}"',) if wanted else ()

    @property
    def staged_schema(self) -> pa.Schema:
        """The columns of a staged page: the names of the wire, typed."""
        columns = {self.key: pa.string(), "versionnumber": pa.int64()}
        for plan in self.fields:
            columns[plan.wire_name] = plan.arrow_type
            for annotation in plan.annotations:
                columns[f"{plan.wire_name}@{annotation}"] = pa.string()
        return pa.schema(columns)

    def to_json(self) -> dict[str, Any]:
        """Write the plan down for the manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a plan that `to_json` wrote; JSON turned the numbers of options into text."""
        fields = tuple(
            FieldPlan(
                field["field"],
                field["wire_name"],
                Wire(field["wire"]),
                field["scale"],
                None if field["options"] is None else {int(k): v for k, v in field["options"].items()},
                tuple(field["annotations"]),
            )
            for field in value["fields"]
        )
        return cls(value["table"], value["set_name"], value["key"], fields, tuple(value["absent"]))


def plan_reading(entity: Entity, table: "TableMetadata") -> ReadPlan:
    """Check the catalogue against the organisation's metadata.

    Raises ColumnMissing for a field that the table does not have and that is not optional, ColumnRetyped for one whose
    type does not fit the catalogue's.
    """
    plans: list[FieldPlan] = []
    absent: list[str] = []
    if table.primary_id != entity.key.name:
        message = f"the key of {entity.entity} is {table.primary_id}, not {entity.key.name}"
        raise ColumnMissing(message, not_done="Nothing was read")
    for name, spec in entity.fields.items():
        if spec.optional and name not in table.columns:
            absent.append(name)
            continue
        plans.append(_plan_field(entity.entity, name, spec, table.column(name)))
    return ReadPlan(entity.entity, table.set_name, table.primary_id, tuple(plans), tuple(absent))


def _plan_field(table: str, name: str, spec: FieldSpec, column: "ColumnMetadata") -> FieldPlan:
    accepted, wire = _ACCEPTED[spec.type]
    date_only = column.date_behavior == "DateOnly"
    if column.type not in accepted or (wire is Wire.DATE) != (date_only and column.type == "DateTime"):
        found = f"{column.type} ({column.date_behavior})" if column.type == "DateTime" else column.type
        message = f"{table}.{name} is {found} in Dynamics, but {spec.type} in the catalogue"
        raise ColumnRetyped(message, not_done="Nothing was read")
    if spec.type is FieldType.LOOKUP and len(spec.targets) == 1 and len(column.targets) > 1:
        message = f"{table}.{name} points at {', '.join(column.targets)} in Dynamics, but at one table in the catalogue"
        step = "List all of `targets` in the catalogue, so that each id comes with the table that it belongs to"
        raise ColumnRetyped(message, not_done="Nothing was read", next_step=step)
    scale = {FieldType.MONEY: 4, FieldType.DECIMAL: 10}.get(spec.type)
    has_options = spec.type in (FieldType.OPTION, FieldType.OPTIONS)
    options = dict(column.options or {}) if has_options else None
    return FieldPlan(name, column.property, wire, scale, options, _annotations(spec))


def _annotations(spec: FieldSpec) -> tuple[str, ...]:
    polymorphic = (LOOKUP_TYPE,) if len(spec.targets) > 1 else ()
    return (*polymorphic, *((FORMATTED_VALUE,) if spec.name else ()))
