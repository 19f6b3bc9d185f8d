"""What a file of the catalogue may say about an entity, and which columns follow from it."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dynamics_sync.sql_words import RESERVED_WORDS

#: PostgreSQL cuts identifiers at 63 bytes; the suffix of a staging or base table must fit behind the name.
LONGEST_NAME = 50

#: Columns that the sync adds to each table; a field of the catalogue cannot take their names.
RESERVED_COLUMNS = frozenset({"crm_version", "crm_deleted_at", "crm_read_at", "updated_at", "written_at", "edited_at"})

#: Names that belong to the sync's own tables and views.
RESERVED_TABLES = re.compile(r"^(sync_|person$|opportunity_contact_role$)|_base$")


class FieldType(StrEnum):
    """What a field is in the marketing database; the ending of its columns follows from it."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    MONEY = "money"
    FLOAT = "float"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    DATE = "date"
    GUID = "guid"
    OPTION = "option"
    OPTIONS = "options"
    LOOKUP = "lookup"


class Direction(StrEnum):
    """Which way an entity goes."""

    FROM_DYNAMICS = "from_dynamics"
    TWO_WAY = "two_way"


class Winner(StrEnum):
    """Whose value stands when both sides changed the same field to different values; for two-way entities only.

    FILL_BLANK: the side that has a value gives it to the side that has none; where both have one, Dynamics' stands.
    REVIEW: both sides stay as they are until a person decides in `sync_conflict`.
    """

    MARKETING = "marketing"
    DYNAMICS = "dynamics"
    LATEST = "latest"
    FILL_BLANK = "fill_blank"
    REVIEW = "review"


class ChangeSource(StrEnum):
    """How the feed learns what changed.

    AUTO takes change tracking where the table has it, `modifiedon` where not, and a key scan where neither is there.
    """

    AUTO = "auto"
    TRACKING = "tracking"
    MODIFIEDON = "modifiedon"
    KEYS = "keys"


class UnknownOptions(StrEnum):
    """What becomes of a row whose option value is not in the option set today."""

    QUARANTINE = "quarantine"
    KEEP = "keep"


class DeletedHere(StrEnum):
    """What becomes in Dynamics of a record whose row was deleted in the marketing database."""

    NOTHING = "nothing"
    DEACTIVATE = "deactivate"
    DELETE = "delete"


class Test(StrEnum):
    """What a condition on a row asks of a field."""

    __test__ = False  # Not one of pytest's.

    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    EQUAL = "equal"
    NOT_EQUAL = "not_equal"
    FILLED = "filled"
    BLANK = "blank"


def _check_identifier(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        message = "use lower-case letters, digits and underscores, beginning with a letter"
        raise ValueError(message)
    return name


def _check_short_name(name: str) -> str:
    if len(_check_identifier(name)) > LONGEST_NAME:
        message = f"use at most {LONGEST_NAME} characters"
        raise ValueError(message)
    return name


def _check_sql_name(name: str) -> str:
    if _check_short_name(name) in RESERVED_WORDS:
        message = f"{name} is a reserved word in SQL; use another name, so that nobody has to quote it"
        raise ValueError(message)
    return name


def _check_cron(schedule: str) -> str:
    # croniter comes with Airflow; importing it takes 20 ms, which parsing can afford once.
    from croniter import croniter  # noqa: PLC0415 - see above

    if not croniter.is_valid(schedule):
        message = f"{schedule!r} is not a cron expression such as */5 * * * *"
        raise ValueError(message)
    try:
        croniter(schedule, datetime(2000, 1, 1, tzinfo=UTC)).get_next()
    except ValueError:
        message = f"{schedule!r} never comes"
        raise ValueError(message) from None
    return schedule


#: A logical name of Dynamics.
Identifier = Annotated[str, AfterValidator(_check_identifier)]
#: A column of the marketing database, to which the field's type may add an ending.
ColumnName = Annotated[str, AfterValidator(_check_short_name)]
#: A name in the marketing database.
SqlName = Annotated[str, AfterValidator(_check_sql_name)]
_STRICT = ConfigDict(extra="forbid", frozen=True)


class FieldSpec(BaseModel):
    """One field: its column in the marketing database, and its type.

    `column` is given without the endings that the type adds: a lookup `owner` becomes `owner_id` and, if it has several
    targets, `owner_type`, and with `name: true` also `owner_name`; an option `rating` becomes `rating_code` and
    `rating_label`. An `optional` field belongs to a solution that not every organisation has installed: where Dynamics
    lacks it, its columns stay empty. A field of `direction: from_dynamics` in a two-way entity belongs to Dynamics: it
    is never written there, and what somebody writes here is put back.
    """

    model_config = _STRICT

    column: ColumnName
    type: FieldType
    length: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    targets: tuple[Identifier, ...] = ()
    name: bool = False
    optional: bool = False
    direction: Direction | None = None
    wins: Winner | None = None

    @model_validator(mode="after")
    def _check_fit(self) -> Self:
        if self.direction is Direction.FROM_DYNAMICS and self.wins is not None:
            message = "`wins` has no meaning beside direction from_dynamics: the field belongs to Dynamics"
            raise ValueError(message)
        if self.length is not None and self.type is not FieldType.TEXT:
            message = f"`length` belongs to type text, not to {self.type}"
            raise ValueError(message)
        if bool(self.targets) != (self.type is FieldType.LOOKUP):
            message = "`targets` is needed by type lookup, and by no other"
            raise ValueError(message)
        if self.name and self.type is not FieldType.LOOKUP:
            message = f"`name` belongs to type lookup, not to {self.type}"
            raise ValueError(message)
        _check_ending(self.column, self.type)
        return self


def _check_ending(column: str, field_type: FieldType) -> None:
    """Refuse a name whose ending promises another type than it has."""
    if field_type in (FieldType.OPTION, FieldType.OPTIONS, FieldType.LOOKUP):
        return  # These get their endings from the type.
    needed = {FieldType.INSTANT: "_at", FieldType.DATE: "_on", FieldType.GUID: "_id"}.get(field_type)
    if needed and not column.endswith(needed):
        message = f"a column of type {field_type} ends in {needed}, as in {column}{needed}"
        raise ValueError(message)
    if not needed and column.endswith(("_at", "_on", "_id", "_code", "_label", "_type")):
        message = f"the ending of {column} is kept for other types; leave it out"
        raise ValueError(message)


class KeySpec(BaseModel):
    """The primary key: its name in Dynamics and its column."""

    model_config = _STRICT

    name: Identifier
    column: SqlName


class Condition(BaseModel):
    """One condition on a row of the marketing database, such as `{field: mkt_leadscore, is: at_least, value: 50}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    field: Identifier
    test: Annotated[Test, Field(alias="is")]
    value: bool | int | float | str | None = None

    @model_validator(mode="after")
    def _check_value(self) -> Self:
        if (self.value is None) != (self.test in (Test.FILLED, Test.BLANK)):
            message = f"`value` is needed by all tests but filled and blank; `is: {self.test}`"
            raise ValueError(message)
        return self


#: The types of fields that a new row can be matched by, or a condition can ask about.
_PLAIN_TYPES = frozenset({FieldType.TEXT, FieldType.INTEGER, FieldType.GUID, FieldType.OPTION})
_CONDITION_TYPES = {
    **dict.fromkeys(
        (FieldType.INTEGER, FieldType.DECIMAL, FieldType.MONEY, FieldType.FLOAT, FieldType.OPTION), (int, float)
    ),
    FieldType.BOOLEAN: (bool,),
    FieldType.TEXT: (str,),
}


class Entity(BaseModel):
    """One entity of the catalogue, as a file in `include/entities/` describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))

    entity: Identifier
    table: SqlName
    title: Annotated[str, Field(min_length=1, max_length=80)]
    description: str = ""
    direction: Direction = Direction.FROM_DYNAMICS
    wins: Winner | None = None
    schedule: Annotated[str, AfterValidator(_check_cron)] | None = "*/5 * * * *"
    changes: ChangeSource = ChangeSource.AUTO
    unknown_options: UnknownOptions = UnknownOptions.QUARANTINE
    tags: tuple[str, ...] = ()
    owner: str = "marketing-operations"
    match: tuple[Identifier, ...] = ()
    detect_duplicates: bool = True
    create_when: tuple[Condition, ...] = ()
    deleted_here: DeletedHere = DeletedHere.NOTHING
    inactive_state: Annotated[int, Field(ge=0)] | None = None
    approve_above: Annotated[int, Field(ge=0)] = 1_000
    key: KeySpec
    fields: Mapping[Identifier, FieldSpec] = Field(min_length=1)

    @property
    def dag_id(self) -> str:
        """The id of the entity's DAG."""
        return f"dynamics_{self.entity}"

    @cached_property
    def digest(self) -> str:
        """Name the state of the entity's file; another name means that the file was edited."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @property
    def is_two_way(self) -> bool:
        """Whether changes that are made in the marketing database are written to Dynamics."""
        return self.direction is Direction.TWO_WAY

    @cached_property
    def columns(self) -> tuple["Column", ...]:
        """The columns that the fields fill, in the catalogue's order; without the key and the sync's own."""
        return tuple(column for name, spec in self.fields.items() for column in _columns_of(name, spec))

    @cached_property
    def mapped_fields(self) -> tuple["MappedField", ...]:
        """The fields, each with its columns, in the catalogue's order."""
        return tuple(
            MappedField(name, spec, tuple(_columns_of(name, spec)), self.rule_of(name))
            for name, spec in self.fields.items()
        )

    def rule_of(self, field: str) -> Winner:
        """Whose value stands when both sides changed the field; Dynamics' where the field belongs to it."""
        spec = self.fields[field]
        if not self.is_two_way or spec.direction is Direction.FROM_DYNAMICS:
            return Winner.DYNAMICS
        return spec.wins or self.wins or Winner.DYNAMICS

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if (self.direction is Direction.TWO_WAY) != (self.wins is not None):
            message = "`wins` is needed by direction two_way, and by no other"
            raise ValueError(message)
        if RESERVED_TABLES.search(self.table):
            message = f"the table name {self.table} is kept for the sync's own tables and views"
            raise ValueError(message)
        self._check_wins()
        self._check_columns()
        return self

    def _check_wins(self) -> None:
        if self.is_two_way:
            self._check_two_way()
            return
        for name, spec in self.fields.items():
            for word in ("wins", "direction"):
                if getattr(spec, word) is not None:
                    message = f"`{word}` of {name} belongs to direction two_way, and to no other"
                    raise ValueError(message)
        for word in ("match", "detect_duplicates", "create_when", "deleted_here", "inactive_state", "approve_above"):
            if getattr(self, word) != type(self).model_fields[word].default:
                message = f"`{word}` belongs to direction two_way, and to no other"
                raise ValueError(message)

    def _check_two_way(self) -> None:
        rules = {self.rule_of(name) for name in self.fields}
        modified = self.fields.get("modifiedon")
        if Winner.LATEST in rules and (modified is None or modified.type is not FieldType.INSTANT or modified.optional):
            message = "`latest` compares with modifiedon; list it among `fields`, as type instant and not optional"
            raise ValueError(message)
        if (self.deleted_here is DeletedHere.DEACTIVATE) != (self.inactive_state is not None):
            message = "`inactive_state` is needed by deleted_here deactivate, and by no other"
            raise ValueError(message)
        if self.inactive_state is not None and "statecode" not in self.fields:
            message = "deleted_here deactivate needs the field statecode"
            raise ValueError(message)
        for name in self.match:
            self._check_kind(name, "match", _PLAIN_TYPES)
        for condition in self.create_when:
            self._check_kind(condition.field, "create_when", frozenset(FieldType))
            _check_condition(condition, self.fields[condition.field].type)

    def _check_kind(self, name: str, word: str, types: frozenset[FieldType]) -> None:
        if name not in self.fields:
            message = f"`{word}` names {name}, which is not among `fields`"
            raise ValueError(message)
        if self.fields[name].type not in types:
            message = f"`{word}` cannot use {name}, a field of type {self.fields[name].type}"
            raise ValueError(message)

    def _check_columns(self) -> None:
        for name in (self.key.name, "versionnumber"):
            if name in self.fields:
                message = f"{name} is read always; leave it out of `fields`"
                raise ValueError(message)
        if self.key.column in RESERVED_COLUMNS:
            message = f"the column name {self.key.column} is kept for the sync"
            raise ValueError(message)
        taken = {self.key.column: self.key.name}
        for column in self.columns:
            if column.name in RESERVED_COLUMNS:
                message = f"the column name {column.name} is kept for the sync"
                raise ValueError(message)
            if column.name in RESERVED_WORDS:
                message = f"the column name {column.name} is a reserved word in SQL; use another name"
                raise ValueError(message)
            if column.name in taken:
                message = f"{taken[column.name]} and {column.field} both fill the column {column.name}"
                raise ValueError(message)
            taken[column.name] = column.field


def _check_condition(condition: Condition, field_type: FieldType) -> None:
    """Refuse a value that the field's column cannot be compared with."""
    if condition.value is None:
        return
    wanted = _CONDITION_TYPES.get(field_type, ())
    if isinstance(condition.value, bool) is (bool in wanted) and isinstance(condition.value, wanted):
        return
    message = f"`create_when` cannot compare {condition.field}, a field of type {field_type}, with {condition.value!r}"
    raise ValueError(message)


class ColumnKind(StrEnum):
    """What a column of the marketing database holds."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    FLOAT = "float"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    DATE = "date"
    GUID = "guid"


Part = Literal["value", "code", "label", "id", "type", "name"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, what it holds, and which part of which field fills it."""

    name: str
    kind: ColumnKind
    field: str
    part: Part = "value"
    length: int | None = None
    scale: int | None = None

    @property
    def is_derived(self) -> bool:
        """Whether the column only tells what another of the same field means: an option's label, a lookup's name."""
        return self.part in ("label", "name")


@dataclass(frozen=True, slots=True)
class MappedField:
    """A field with the columns that it fills, and the rule for conflicts. Sides are compared field by field."""

    name: str
    spec: FieldSpec
    columns: tuple[Column, ...]
    rule: Winner

    @property
    def compared(self) -> tuple[Column, ...]:
        """The columns that hold the field's value; the others follow from it."""
        return tuple(column for column in self.columns if not column.is_derived)

    @property
    def column(self) -> str:
        """The column under which conflicts, history and plans name the field."""
        return self.columns[0].name

    @property
    def is_owned_by_dynamics(self) -> bool:
        """Whether the field is never written to Dynamics."""
        return self.spec.direction is Direction.FROM_DYNAMICS


#: Digits behind the point: Dataverse keeps money with 4 at most (a currency's precision is 0 to 4), decimals with 10.
_SCALES: Mapping[FieldType, int] = {FieldType.MONEY: 4, FieldType.DECIMAL: 10}

_PLAIN_KINDS: Mapping[FieldType, ColumnKind] = {
    FieldType.TEXT: ColumnKind.TEXT,
    FieldType.INTEGER: ColumnKind.INTEGER,
    FieldType.DECIMAL: ColumnKind.NUMBER,
    FieldType.MONEY: ColumnKind.NUMBER,
    FieldType.FLOAT: ColumnKind.FLOAT,
    FieldType.BOOLEAN: ColumnKind.BOOLEAN,
    FieldType.INSTANT: ColumnKind.INSTANT,
    FieldType.DATE: ColumnKind.DATE,
    FieldType.GUID: ColumnKind.GUID,
}


def _columns_of(field: str, spec: FieldSpec) -> Iterator[Column]:
    match spec.type:
        case FieldType.OPTION | FieldType.OPTIONS:
            code_kind = ColumnKind.INTEGER if spec.type is FieldType.OPTION else ColumnKind.TEXT
            yield Column(f"{spec.column}_code", code_kind, field, "code")
            yield Column(f"{spec.column}_label", ColumnKind.TEXT, field, "label")
        case FieldType.LOOKUP:
            yield Column(f"{spec.column}_id", ColumnKind.GUID, field, "id")
            if len(spec.targets) > 1:
                yield Column(f"{spec.column}_type", ColumnKind.TEXT, field, "type")
            if spec.name:
                yield Column(f"{spec.column}_name", ColumnKind.TEXT, field, "name")
        case _:
            yield Column(spec.column, _PLAIN_KINDS[spec.type], field, length=spec.length, scale=_SCALES.get(spec.type))
