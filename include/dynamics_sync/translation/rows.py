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


@dataclass(slots=True)
class _Problems:
    """The first problem of each row: which rows, what, and in which field."""

    rows: int
    problem: list[RowProblem | None] = field(init=False)
    where: list[str | None] = field(init=False)

    def __post_init__(self) -> None:
        self.problem = [None] * self.rows
        self.where = [None] * self.rows

    def add(self, bad: "pd.Series[bool]", problem: RowProblem, name: str) -> None:
        """Note a problem of the rows in which `bad` is true; nulls are not bad."""
        for index in bad.fillna(value=False).to_numpy(dtype=bool).nonzero()[0]:
            if self.problem[index] is None:
                self.problem[index], self.where[index] = problem, name

    def good(self) -> list[bool]:
        """Say for each row whether it has no problem."""
        return [problem is None for problem in self.problem]


def transform_rows(
    staged: pa.Table, entity: Entity, plan: ReadPlan, rows_schema: pa.Schema, *, exact_digits: int | None
) -> Transformed:
    """Bring staged rows into our format.

    `staged` has the columns of `plan.staged_schema`; the result has those of `rows_schema`. `exact_digits` is given
    where the marketing database keeps numbers as doubles; a number that would change there is set aside.
    """
    frame = staged.to_pandas(types_mapper=pd.ArrowDtype)
    problems = _Problems(len(frame))
    _check_key(frame, plan, problems)
    columns: dict[str, pd.Series[Any]] = {
        entity.key.column: frame[plan.key].str.lower(),
        "crm_version": frame["versionnumber"],
    }
    plans = {field_plan.field: field_plan for field_plan in plan.fields}
    for name, spec in entity.fields.items():
        if name in plans:
            columns |= _field_columns(frame, entity, name, spec, plans[name], problems)
    _check_columns(columns, entity.columns, problems, exact=exact_digits is not None)
    good = problems.good()
    rows = _assemble(columns, rows_schema, len(frame)).filter(pa.array(good, pa.bool_()))
    return Transformed(rows, _rejected(staged, plan, problems))


def _check_key(frame: pd.DataFrame, plan: ReadPlan, problems: _Problems) -> None:
    problems.add(frame[plan.key].isna(), NULL_KEY, plan.key)
    problems.add(~frame[plan.key].str.fullmatch(_GUID), INVALID_VALUE, plan.key)
    problems.add(frame["versionnumber"].isna(), NULL_VERSION, "versionnumber")


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


def _labels(values: "pd.Series[Any]", options: Mapping[int, str]) -> "tuple[pd.Series[str], pd.Series[bool]]":
    """The labels of option values, and which values are unknown; each distinct value is looked up once."""
    codes = pa.array(values).dictionary_encode()
    codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    labels = [_label(value, options) for value in codes.dictionary.to_pylist()]
    known = pa.array([label is not None for label in labels], pa.bool_())
    text = pa.array(labels, pa.string()).take(codes.indices)
    unknown = pc.invert(known.take(codes.indices))
    return (
        pd.Series(text, dtype=pd.ArrowDtype(pa.string()), index=values.index),
        pd.Series(unknown, dtype=pd.ArrowDtype(pa.bool_()), index=values.index),
    )


def _label(value: int | str, options: Mapping[int, str]) -> str | None:
    """The label of one value; several chosen options come as `1,3` and give `One; Three`."""
    if isinstance(value, int):
        return options.get(value)
    labels = [options.get(int(part)) if _OPTION.fullmatch(part) else None for part in value.split(",")]
    known = [label for label in labels if label is not None]
    return "; ".join(known) if len(known) == len(labels) else None


def _check_columns(
    columns: "Mapping[str, pd.Series[Any]]", wanted: tuple[Column, ...], problems: _Problems, *, exact: bool
) -> None:
    """Find values that their column cannot hold."""
    for column in wanted:
        if column.name not in columns:
            continue
        values = columns[column.name]
        match column.kind:
            case ColumnKind.TEXT:
                # PostgreSQL has no way to keep the character NUL.
                problems.add(values.str.contains(_NUL, regex=False), INVALID_VALUE, column.field)
                if column.length is not None:
                    problems.add(values.str.len() > column.length, VALUE_TOO_LONG, column.field)
            case ColumnKind.GUID:
                problems.add(~values.str.fullmatch(_GUID), INVALID_VALUE, column.field)
            case ColumnKind.NUMBER if exact:
                problems.add(_inexact(values), INEXACT_NUMBER, column.field)
            case _:
                pass


def _inexact(values: "pd.Series[Any]") -> "pd.Series[bool]":
    """Which decimals would be others after they were kept as doubles."""
    exact = pa.array(values)
    # By way of text, as the direct cast divides, and is off by one unit in the last place now and then.
    kept = pc.cast(pc.cast(exact, pa.string()), pa.float64())
    # Wide enough that the way back cannot overflow.
    wide = pa.decimal256(60, exact.type.scale)
    same = pc.equal(pc.cast(kept, wide), pc.cast(exact, wide))
    return pd.Series(pc.invert(same), dtype=pd.ArrowDtype(pa.bool_()), index=values.index)


def _assemble(columns: "Mapping[str, pd.Series[Any]]", schema: pa.Schema, rows: int) -> pa.Table:
    """Put the columns into the order and types of the store; a field that the organisation lacks is null."""
    arrays = [
        pa.array(columns[field.name]).cast(field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays([_in_one_chunk(array) for array in arrays], schema=schema)


def _in_one_chunk(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _rejected(staged: pa.Table, plan: ReadPlan, problems: _Problems) -> tuple[Rejected, ...]:
    found = [(index, problem) for index, problem in enumerate(problems.problem) if problem is not None]
    payloads = staged.take(pa.array([index for index, _ in found], pa.int64())).to_pylist()
    return tuple(
        _reject(row, plan, problem, problems.where[index])
        for (index, problem), row in zip(found, payloads, strict=True)
    )


def _reject(row: Mapping[str, Any], plan: ReadPlan, problem: RowProblem, name: str | None) -> Rejected:
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
