"""From rows as Dynamics gave them, typed, to rows in our format. Pure: the same rows and plan give the same answer."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dynamics_sync.entity import Column, ColumnKind, Entity, FieldSpec, FieldType, UnknownOptions
from dynamics_sync.errors import (
    INEXACT_NUMBER,
    INVALID_VALUE,
    NULL_KEY,
    NULL_VERSION,
    UNKNOWN_OPTION,
    VALUE_TOO_LONG,
    RowProblem,
    UnexpectedAnswer,
)
from dynamics_sync.translation.fields import FORMATTED_VALUE, LOOKUP_TYPE, FieldPlan, ReadPlan
from dynamics_sync.translation.rejected import Rejected

_GUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_OPTION = re.compile(r" *-?[0-9]{1,10} *")
_NUL = "\x00"


@dataclass(frozen=True, slots=True)
class Transformed:
    """Rows for the store, in `rows_schema` of the entity, and the rows that cannot go there."""

    rows: pa.Table
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class _Problems:
    """The first problem of each row that has one, by the row's position: what, and in which field."""

    found: dict[int, tuple[RowProblem, str]] = field(default_factory=dict)

    def add(self, bad: "pa.Array[Any]", problem: RowProblem, name: str) -> None:
        """Note a problem of the rows in which `bad` is true; nulls are not bad."""
        for index in pc.indices_nonzero(bad).to_pylist():
            self.found.setdefault(index, (problem, name))


def transform_rows(
    staged: pa.Table, entity: Entity, plan: ReadPlan, rows_schema: pa.Schema, *, exact_digits: int | None
) -> Transformed:
    """Bring staged rows into our format.

    `staged` has the columns of `plan.staged_schema`; the result has those of `rows_schema`. `exact_digits` is given
    where the marketing database keeps numbers as doubles; a number that would change there is set aside.
    """
    frame = staged.to_pandas(types_mapper=pd.ArrowDtype)
    problems = _Problems()
    _check_key(frame, plan, problems)
    columns: dict[str, pd.Series[Any]] = {
        entity.key.column: frame[plan.key].str.lower(),
        "crm_version": frame["versionnumber"],
    }
    plans = {field_plan.field: field_plan for field_plan in plan.fields}
    for name, spec in entity.fields.items():
        if name in plans:
            columns |= _field_columns(frame, entity, name, spec, plans[name], problems)
    arrays = {name: _in_one_chunk(pa.array(values)) for name, values in columns.items()}
    _check_columns(arrays, entity.columns, problems, exact=exact_digits is not None)
    rows = _assemble(arrays, rows_schema, len(frame))
    if problems.found:
        rows = rows.filter(pa.array(index not in problems.found for index in range(len(frame))))
    return Transformed(rows, _rejected(staged, plan, problems.found))


def _check_key(frame: pd.DataFrame, plan: ReadPlan, problems: _Problems) -> None:
    keys = pa.array(frame[plan.key])
    problems.add(pc.is_null(keys), NULL_KEY, plan.key)
    problems.add(_no_guids(keys), INVALID_VALUE, plan.key)
    problems.add(pc.is_null(pa.array(frame["versionnumber"])), NULL_VERSION, "versionnumber")


def _field_columns(
    frame: pd.DataFrame, entity: Entity, name: str, spec: FieldSpec, plan: FieldPlan, problems: _Problems
) -> "dict[str, pd.Series[Any]]":
    """The columns that one field fills."""
    values = frame[plan.wire_name]
    match spec.type:
        case FieldType.OPTION | FieldType.OPTIONS:
            labels, unknown = _labels(values, plan.options or {})
            if entity.unknown_options is UnknownOptions.QUARANTINE:
                problems.add(unknown, UNKNOWN_OPTION, name)
            return {f"{spec.column}_code": values, f"{spec.column}_label": labels}
        case FieldType.LOOKUP:
            return _lookup_columns(frame, spec, plan)
        case FieldType.TEXT | FieldType.GUID:
            return {spec.column: values.str.lower() if spec.type is FieldType.GUID else values}
        case _:
            return {spec.column: values}


def _lookup_columns(frame: pd.DataFrame, spec: FieldSpec, plan: FieldPlan) -> "dict[str, pd.Series[Any]]":
    ids = frame[plan.wire_name]
    columns = {f"{spec.column}_id": ids.str.lower()}
    if LOOKUP_TYPE in plan.annotations:
        types = frame[f"{plan.wire_name}@{LOOKUP_TYPE}"]
        if (ids.notna() & types.isna()).any():
            # Without it nobody could say whether an id is a user's or a team's.
            message = f"Dynamics did not say which table the ids of {plan.field} belong to"
            raise UnexpectedAnswer(message, not_done="The slice was not loaded")
        columns[f"{spec.column}_type"] = types
    if FORMATTED_VALUE in plan.annotations:
        columns[f"{spec.column}_name"] = frame[f"{plan.wire_name}@{FORMATTED_VALUE}"]
    return columns


def _labels(values: "pd.Series[Any]", options: Mapping[int, str]) -> "tuple[pd.Series[str], pa.Array[Any]]":
    """The labels of option values, and which values are unknown; each distinct value is looked up once."""
    codes = _in_one_chunk(pa.array(values)).dictionary_encode()
    labels = pa.array([_label(value, options) for value in codes.dictionary.to_pylist()], pa.string())
    unknown = pc.is_null(labels).take(codes.indices)
    return pd.Series(labels.take(codes.indices), dtype=pd.ArrowDtype(pa.string()), index=values.index), unknown


def _label(value: int | str, options: Mapping[int, str]) -> str | None:
    """The label of one value; several chosen options come as `1,3` and give `One; Three`."""
    if isinstance(value, int):
        return options.get(value)
    labels = [options.get(int(part)) if _OPTION.fullmatch(part) else None for part in value.split(",")]
    known = [label for label in labels if label is not None]
    return "; ".join(known) if len(known) == len(labels) else None


def _check_columns(
    arrays: Mapping[str, pa.Array], wanted: tuple[Column, ...], problems: _Problems, *, exact: bool
) -> None:
    """Find values that their column cannot hold."""
    for column in wanted:
        if column.name not in arrays:
            continue
        values = arrays[column.name]
        match column.kind:
            case ColumnKind.TEXT:
                _check_text(values, column, problems)
            case ColumnKind.GUID:
                problems.add(_no_guids(values), INVALID_VALUE, column.field)
            case ColumnKind.NUMBER if exact:
                problems.add(_inexact(values), INEXACT_NUMBER, column.field)
            case _:
                pass


def _check_text(values: pa.Array, column: Column, problems: _Problems) -> None:
    """Look at each text only if a look at all of them, which takes a tenth of the time, finds reason to."""
    # PostgreSQL has no way to keep the character NUL. In UTF-8 it is a byte that is part of no other character.
    if _NUL.encode() in _bytes_of(values):
        problems.add(pc.match_substring(values, _NUL), INVALID_VALUE, column.field)
    if column.length is not None and (pc.max(pc.binary_length(values)).as_py() or 0) > column.length:
        problems.add(pc.greater(pc.utf8_length(values), column.length), VALUE_TOO_LONG, column.field)


def _bytes_of(texts: pa.Array) -> bytes:
    """Return the bytes of all texts, one after another."""
    characters = texts.buffers()[2]
    return b"" if characters is None else characters.to_pybytes()


def _no_guids(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Which texts are no GUIDs; each distinct one is looked at once."""
    texts = _in_one_chunk(values).dictionary_encode()
    return pc.invert(pc.match_substring_regex(texts.dictionary, f"^{_GUID}$")).take(texts.indices)


def _inexact(exact: pa.Array) -> pa.Array:
    """Which decimals would be others after they were kept as doubles."""
    # By way of text, as the direct cast divides, and is off by one unit in the last place now and then.
    kept = pc.cast(pc.cast(exact, pa.string()), pa.float64())
    # Wide enough that the way back cannot overflow.
    wide = pa.decimal256(60, exact.type.scale)
    return pc.not_equal(pc.cast(kept, wide), pc.cast(exact, wide))


def _assemble(arrays: Mapping[str, pa.Array], schema: pa.Schema, rows: int) -> pa.Table:
    """Put the columns into the order and types of the store; a field that the organisation lacks is null."""
    ordered = [
        arrays[field.name].cast(field.type) if field.name in arrays else pa.nulls(rows, field.type) for field in schema
    ]
    return pa.Table.from_arrays(ordered, schema=schema)


def _in_one_chunk(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _rejected(staged: pa.Table, plan: ReadPlan, problems: Mapping[int, tuple[RowProblem, str]]) -> tuple[Rejected, ...]:
    indices = sorted(problems)
    payloads = staged.take(pa.array(indices, pa.int64())).to_pylist() if indices else []
    return tuple(_reject(row, plan, *problems[index]) for index, row in zip(indices, payloads, strict=True))


def _reject(row: Mapping[str, Any], plan: ReadPlan, problem: RowProblem, name: str) -> Rejected:
    key = row[plan.key]
    return Rejected(
        record_key=key.lower() if key is not None else None,
        code=problem.code,
        field=name,
        reason=f"{problem.title}: {name}",
        payload=json.dumps(row, default=_as_text),
        version=row["versionnumber"],
    )


def _as_text(value: Any) -> str:
    render: Callable[[], str] | None = getattr(value, "isoformat", None)
    return render() if render else str(value)
