"""The shape of an organisation: tables, columns, options and relationships. Immutable; a change makes a new one."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from dynamics_emulator.schema.links import ManyToMany, Side


class ColumnType(StrEnum):
    """Dataverse's AttributeType names."""

    STRING = "String"
    MEMO = "Memo"
    INTEGER = "Integer"
    BIG_INT = "BigInt"
    DOUBLE = "Double"
    DECIMAL = "Decimal"
    MONEY = "Money"
    BOOLEAN = "Boolean"
    DATE_TIME = "DateTime"
    PICKLIST = "Picklist"
    MULTI_SELECT = "MultiSelectPicklist"
    STATE = "State"
    STATUS = "Status"
    LOOKUP = "Lookup"
    OWNER = "Owner"
    CUSTOMER = "Customer"
    UNIQUEIDENTIFIER = "Uniqueidentifier"


LOOKUP_TYPES = frozenset({ColumnType.LOOKUP, ColumnType.OWNER, ColumnType.CUSTOMER})
TEXT_TYPES = frozenset({ColumnType.STRING, ColumnType.MEMO})
OPTION_TYPES = frozenset(
    {ColumnType.PICKLIST, ColumnType.MULTI_SELECT, ColumnType.STATE, ColumnType.STATUS, ColumnType.BOOLEAN}
)
EXACT_NUMBER_TYPES = frozenset({ColumnType.DECIMAL, ColumnType.MONEY})


@dataclass(frozen=True)
class Option:
    """One choice of an option set; ``state`` is set for status reasons, ``default_status`` for states."""

    value: int
    label: str
    state: int | None = None
    default_status: int | None = None
    translations: tuple[tuple[int, str], ...] = ()
    """Labels in other languages than English, by language code."""


class OnDelete(StrEnum):
    """What happens to a row when the row that one of its lookups points at is deleted."""

    REMOVE_LINK = "RemoveLink"
    CASCADE = "Cascade"
    RESTRICT = "Restrict"


class KeyStatus(StrEnum):
    """Dataverse's EntityKeyIndexStatus: a key can be used only while it is active."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    ACTIVE = "Active"
    FAILED = "Failed"


@dataclass(frozen=True)
class AlternateKey:
    """Columns (logical names) that identify a row beside its primary key."""

    name: str
    columns: tuple[str, ...]
    display: str = ""
    status: KeyStatus = KeyStatus.ACTIVE


@dataclass(frozen=True)
class Column:
    """One column, as its metadata describe it."""

    name: str
    type: ColumnType
    display: str
    max_length: int | None = None
    required: str = "None"
    targets: tuple[str, ...] = ()
    navigation: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    creatable: bool = True
    updatable: bool = True
    format: str | None = None
    behavior: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    precision: int | None = None
    schema_name: str = ""
    global_option_set: str | None = None
    on_delete: OnDelete = OnDelete.REMOVE_LINK
    """For lookups: what a deletion of the referenced row does to this row."""
    translations: tuple[tuple[int, str], ...] = ()
    """Display names in other languages than English, by language code."""

    @property
    def is_lookup(self) -> bool:
        """Whether the column points at a row."""
        return self.type in LOOKUP_TYPES

    @property
    def is_polymorphic(self) -> bool:
        """Whether the column may point at rows of several tables."""
        return len(self.targets) > 1

    @property
    def is_date_only(self) -> bool:
        """Whether values are dates without a time."""
        return self.type is ColumnType.DATE_TIME and self.behavior == "DateOnly"

    @property
    def property_name(self) -> str:
        """The OData name: ``_x_value`` for lookups, the logical name otherwise."""
        return f"_{self.name}_value" if self.is_lookup else self.name

    @property
    def type_column(self) -> str:
        """Name of the stored column that says which table a polymorphic lookup points at."""
        return f"{self.name}__type"

    @cached_property
    def labels(self) -> MappingProxyType[int, str]:
        """Label by option value."""
        return MappingProxyType({option.value: option.label for option in self.options})

    def navigation_for(self, target: str) -> str:
        """Navigation property towards ``target``; one name serves all targets of an owner."""
        if len(self.navigation) == 1:
            return self.navigation[0]
        return self.navigation[self.targets.index(target)]


@dataclass(frozen=True)
class Table:
    """One table with its columns by logical name."""

    name: str
    set_name: str
    primary_id: str
    primary_name: str | None
    ownership: str
    columns: MappingProxyType[str, Column]
    keys: tuple[AlternateKey, ...] = ()
    tracked: bool = True
    optimistic: bool = True
    """IsOptimisticConcurrencyEnabled: without it no 304 is given."""
    intersect: bool = False
    activity: bool = False
    schema_name: str = ""
    display: str = ""
    plural: str = ""
    translations: tuple[tuple[int, str], ...] = ()
    """Display names in other languages than English, by language code."""
    key_is_owner: bool = False
    """Whether the table derives from ``principal``: rows then show their key as ``ownerid`` too."""

    @cached_property
    def properties(self) -> MappingProxyType[str, Column]:
        """Columns by OData property name."""
        return MappingProxyType({column.property_name: column for column in self.columns.values()})

    @cached_property
    def navigations(self) -> MappingProxyType[str, tuple[Column, tuple[str, ...]]]:
        """Single-valued navigation properties: name to (column, tables it leads to)."""
        found: dict[str, tuple[Column, tuple[str, ...]]] = {}
        for column in self.columns.values():
            if len(column.navigation) == 1:
                found[column.navigation[0]] = (column, column.targets)
            else:
                for name, target in zip(column.navigation, column.targets, strict=True):
                    found[name] = (column, (target,))
        return MappingProxyType(found)

    @cached_property
    def by_type(self) -> MappingProxyType[ColumnType, tuple[Column, ...]]:
        """Columns of each type; every type is named."""
        columns = self.columns.values()
        return MappingProxyType(
            {kind: tuple(column for column in columns if column.type is kind) for kind in ColumnType}
        )

    @cached_property
    def required_columns(self) -> tuple[Column, ...]:
        """Columns that the system or a customiser declares as required."""
        return tuple(column for column in self.columns.values() if column.required.endswith("Required"))

    def find(self, name: str) -> Column | None:
        """The column of this logical name, or None."""
        return self.columns.get(name)


@dataclass(frozen=True)
class Collection:
    """A collection-valued (1:N) navigation property of ``parent``: rows of ``child`` whose ``column`` points here."""

    name: str
    parent: str
    child: str
    column: str


@dataclass(frozen=True)
class Schema:
    """All tables of an organisation."""

    tables: MappingProxyType[str, Table]
    collections: MappingProxyType[str, MappingProxyType[str, Collection]]
    many_to_many: tuple[ManyToMany, ...] = ()
    sets: MappingProxyType[str, Table] = field(init=False)

    def __post_init__(self) -> None:
        by_set = {table.set_name: table for table in self.tables.values()}
        object.__setattr__(self, "sets", MappingProxyType(by_set))

    @cached_property
    def references(self) -> MappingProxyType[str, tuple[tuple[Table, Column], ...]]:
        """By the name of a table: every lookup of every table that may point at its rows."""
        found: dict[str, list[tuple[Table, Column]]] = {name: [] for name in self.tables}
        for table in self.tables.values():
            for column in table.columns.values():
                for target in column.targets if column.is_lookup else ():
                    found.setdefault(target, []).append((table, column))
        return MappingProxyType({name: tuple(lookups) for name, lookups in found.items()})

    @cached_property
    def compiled(self) -> dict[tuple[str, ...], object]:
        """What callers have compiled against this schema, by their own keys; another schema begins with none."""
        return {}

    def table(self, name: str) -> Table:
        """The table of this logical name. Raises KeyError when there is none."""
        return self.tables[name]

    def association(self, table: str, navigation: str) -> tuple[ManyToMany, Side, Side] | None:
        """The N:N relationship behind a navigation property, this end and the other end; None for other names."""
        for relationship in self.many_to_many:
            ends = relationship.seen_from(table, navigation)
            if ends:
                return relationship, *ends
        return None
