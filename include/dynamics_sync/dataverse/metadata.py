"""What the organisation says about a table: names, types, lengths, options. Nothing of it is assumed."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.definitions import (
    ATTRIBUTE_QUERY,
    ATTRIBUTES,
    CASTS,
    DEFINITION,
    DEFINITION_QUERY,
    DEFINITIONS,
    MULTI_SELECT,
    Attribute,
    Definition,
)
from dynamics_sync.dataverse.wire import Answer, Request, decode
from dynamics_sync.errors import ColumnMissing, RecordNotFound, RequestRefused, TableMissing

_LOOKUPS = frozenset({"Lookup", "Owner", "Customer"})


@dataclass(frozen=True)
class ColumnMetadata:
    """One column that OData can address and that can be read.

    `type` is Dataverse's AttributeType, and `MultiSelectPicklist` where Dataverse only says "Virtual".
    `property` is the name in rows and in `$select` (`_ownerid_value` for a lookup). `targets` are the
    logical names of the tables that a lookup can point at; `options` maps numbers to labels in the
    application user's language; `date_behavior` is UserLocal, TimeZoneIndependent or DateOnly; `required` is
    the RequiredLevel. `is_valid_for_create` and `is_valid_for_update` say whether a value may be given when a row is
    created and later; Dynamics drops or refuses it otherwise.
    """

    name: str
    type: str
    property: str
    max_length: int | None = None
    precision: int | None = None
    targets: tuple[str, ...] = ()
    options: Mapping[int, str] | None = None
    date_behavior: str | None = None
    format: str | None = None
    is_valid_for_odata: bool = True
    required: str = "None"
    is_valid_for_create: bool = True
    is_valid_for_update: bool = True


@dataclass(frozen=True)
class TableMetadata:
    """One table; `columns` is keyed by logical name and holds only what OData can address and read."""

    name: str
    set_name: str
    primary_id: str
    primary_name: str | None
    change_tracking: bool
    optimistic_concurrency: bool
    columns: Mapping[str, ColumnMetadata] = field(repr=False)

    def column(self, name: str) -> ColumnMetadata:
        """Return a column by logical name; raises ColumnMissing, which names the nearest one that exists."""
        if found := self.columns.get(name):
            return found
        hint = nearest(name, self.columns)
        what = f"Table {self.name} has no column {name} that can be read{hint}"
        raise ColumnMissing(what, not_done="Nothing was read from the table")

    def row_path(self, record_id: str) -> str:
        """Return the path of one row by its bare GUID; users and teams take no other form of their key."""
        return f"{self.set_name}({record_id})"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean x?` for a misspelt name, or an empty text."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def read_table(client: DataverseClient, logical_name: str) -> TableMetadata:
    """Read a table's metadata with one `$batch`.

    Columns that OData cannot address, and those that only shadow another (`owneridname`), are left out.
    Raises TableMissing, which names the nearest table that exists.
    """
    definition, attributes, *casts = _read_parts(client, logical_name)
    details: dict[str, Attribute] = {}
    multi_select: set[str] = set()
    for cast, answer in zip(CASTS, casts, strict=True):
        typed = {attribute.logical_name: attribute for attribute in decode(answer, ATTRIBUTES).value}
        details |= typed
        if cast == MULTI_SELECT:
            multi_select |= typed.keys()
    columns = {
        attribute.logical_name: _column(
            attribute,
            details.get(attribute.logical_name, attribute),
            is_multi_select=attribute.logical_name in multi_select,
        )
        for attribute in decode(attributes, ATTRIBUTES).value
        if attribute.is_valid_for_odata is not False
        and attribute.is_valid_for_read is not False
        and attribute.attribute_of is None
    }
    return _table(decode(definition, DEFINITION), columns)


def _read_parts(client: DataverseClient, logical_name: str) -> Sequence[Answer]:
    root = f"EntityDefinitions(LogicalName='{quote(logical_name, safe='')}')"
    calls = [Request(f"{root}?{DEFINITION_QUERY}"), Request(f"{root}/Attributes?{ATTRIBUTE_QUERY}")]
    calls += [
        Request(f"{root}/Attributes/Microsoft.Dynamics.CRM.{cast}AttributeMetadata?{query}")
        for cast, query in CASTS.items()
    ]
    try:
        return client.batch(calls)
    except (RecordNotFound, TableMissing, RequestRefused) as error:
        if error.http_status != 404 and not isinstance(error, TableMissing):
            raise
    raise _missing_table(client, logical_name)


def _missing_table(client: DataverseClient, logical_name: str) -> TableMissing:
    names = decode(client.send(Request(f"EntityDefinitions?{DEFINITION_QUERY}")), DEFINITIONS).value
    hint = nearest(logical_name, (name.logical_name for name in names))
    what = f"The organisation {client.host} has no table {logical_name}{hint}"
    return TableMissing(what, not_done="Nothing was read")


def _table(definition: Definition, columns: Mapping[str, ColumnMetadata]) -> TableMetadata:
    return TableMetadata(
        name=definition.logical_name,
        set_name=definition.entity_set_name,
        primary_id=definition.primary_id_attribute,
        primary_name=definition.primary_name_attribute,
        change_tracking=bool(definition.change_tracking_enabled),
        optimistic_concurrency=bool(definition.is_optimistic_concurrency_enabled),
        columns=MappingProxyType(dict(columns)),
    )


def _column(attribute: Attribute, detail: Attribute, *, is_multi_select: bool) -> ColumnMetadata:
    name = attribute.logical_name
    kind = MULTI_SELECT if is_multi_select else attribute.attribute_type or ""
    options = detail.option_set or detail.global_option_set
    behavior = detail.date_time_behavior
    required = attribute.required_level
    return ColumnMetadata(
        name=name,
        type=kind,
        property=f"_{name}_value" if kind in _LOOKUPS else name,
        max_length=detail.max_length,
        precision=detail.precision,
        targets=tuple(detail.targets or ()),
        options=options.as_mapping() if options else None,
        date_behavior=behavior.value if behavior else None,
        format=detail.format,
        required=(required.value if required else None) or "None",
        is_valid_for_create=attribute.is_valid_for_create is not False,
        is_valid_for_update=attribute.is_valid_for_update is not False,
    )
