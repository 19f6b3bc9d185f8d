"""The shape of an organisation: tables, columns, options and relationships. Immutable; a change makes a new one."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType


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
    tracked: bool = True
    intersect: bool = False
    activity: bool = False
    schema_name: str = ""
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
    sets: MappingProxyType[str, Table] = field(init=False)

    def __post_init__(self) -> None:
        by_set = {table.set_name: table for table in self.tables.values()}
        object.__setattr__(self, "sets", MappingProxyType(by_set))

    def table(self, name: str) -> Table:
        """The table of this logical name. Raises KeyError when there is none."""
        return self.tables[name]
