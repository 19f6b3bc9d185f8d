"""What an expression is compiled against: tables, aliases, bound values and the present instant."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from dynamics_emulator.errors import bad_query, unknown_property
from dynamics_emulator.schema.model import TEXT_TYPES, Collection, Column, ColumnType, Schema, Table
from dynamics_emulator.settings import Settings
from dynamics_emulator.storage.database import SqlValue
from dynamics_emulator.storage.layout import quote, quote_text
from dynamics_emulator.storage.text import fold, fold_plain


class Parameters:
    """Values bound to a statement, by name."""

    def __init__(self) -> None:
        self.values: dict[str, SqlValue] = {}
        self._aliases = 0

    def add(self, value: SqlValue) -> str:
        """Bind a value and return its placeholder."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def alias(self) -> str:
        """A table alias that the statement has not used yet."""
        self._aliases += 1
        return f"e{self._aliases}"


@dataclass(frozen=True)
class Operand:
    """An SQL expression that holds the value of a column; ``alias`` and ``table`` say of which row."""

    sql: str
    column: Column
    alias: str = ""
    table: str = ""


def _everything(_: "Scope") -> str:
    return "1"


def named_property(table: Table, name: str) -> Column | None:
    """The column of an OData property; users and teams have their key under the name ``ownerid`` too."""
    if name == "ownerid" and table.key_is_owner:
        return table.columns[table.primary_id]
    return table.properties.get(name)


@dataclass(frozen=True)
class Scope:
    """One table under one alias.

    ``variables`` are the range variables of enclosing lambdas. ``visible`` gives the SQL condition under which the
    caller may see the rows of a scope, ``1`` for all of them; it may refuse the table altogether.
    """

    schema: Schema
    table: Table
    alias: str
    parameters: Parameters
    settings: Settings
    now: datetime
    user_id: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, "Scope"] = field(default_factory=dict)
    visible: Callable[["Scope"], str] = _everything

    def over(self, table: Table) -> "Scope":
        """The same request over another table, under a new alias."""
        return replace(self, table=table, alias=self.parameters.alias())

    def sql_name(self, column: str) -> str:
        """A qualified SQL column."""
        return f"{self.alias}.{quote(column)}"

    def operand(self, column: Column) -> Operand:
        """A column of this scope's row."""
        return Operand(self.sql_name(column.name), column, self.alias, self.table.name)

    def column(self, name: str) -> Operand:
        """The column with this OData property name. Raises a 400 when there is none."""
        column = named_property(self.table, name)
        if column is None:
            raise unknown_property(name, self.table.name)
        return self.operand(column)

    def path(self, names: Sequence[str]) -> Operand:
        """The column at the end of a path of single-valued navigation properties. Raises a 400 when there is none."""
        if len(names) == 1:
            return self.column(names[0])
        found = [operand for inner in self.targets(names[0]) if (operand := inner.reached(self, names))]
        if not found:
            _, targets = self.table.navigations[names[0]]
            raise unknown_property(names[1], targets[0])
        sql = found[0].sql if len(found) == 1 else f"coalesce({', '.join(operand.sql for operand in found)})"
        return replace(found[0], sql=sql)

    def targets(self, navigation: str) -> list["Scope"]:
        """Scopes over the tables to which a single-valued property leads. Raises a 400 for an unknown property."""
        link = self.table.navigations.get(navigation)
        if link is None:
            raise unknown_property(navigation, self.table.name)
        return [self.over(self.schema.tables[name]) for name in link[1] if name in self.schema.tables]

    def reached(self, origin: "Scope", names: Sequence[str]) -> Operand | None:
        """The rest of a path, seen from the row that ``origin`` points at; None when this table lacks the property."""
        ends = len(names) == len(("navigation", "column"))
        if not (named_property(self.table, names[1]) if ends else names[1] in self.table.navigations):
            return None
        operand = self.path(names[1:])
        where = self.pointed_at(origin, names[0])
        return replace(operand, sql=f"(SELECT {operand.sql} FROM {self.source} WHERE {where})")

    @property
    def source(self) -> str:
        """The table for a FROM clause."""
        return f"{quote(self.table.name)} {self.alias}"

    def points_here(self, reference: str) -> str:
        """Condition that a reference holds the key of this scope's row."""
        return f"{self.sql_name(self.table.primary_id)} = {reference}"

    def pointed_at(self, origin: "Scope", navigation: str) -> str:
        """Condition that this row, which the caller must be able to see, is the one behind a property of ``origin``."""
        column, _ = origin.table.navigations[navigation]
        condition = self.points_here(origin.sql_name(column.name))
        if column.is_polymorphic:
            condition += f" AND {origin.sql_name(column.type_column)} = {quote_text(self.table.name)}"
        return self.seen(condition)

    def seen(self, condition: str) -> str:
        """A condition, narrowed to the rows that the caller may see."""
        visible = self.visible(self)
        return condition if visible == "1" else f"{condition} AND ({visible})"

    def collection(self, navigation: str) -> tuple["Scope", str]:
        """Rows behind a collection-valued property: their scope, and the condition that ties them to this row."""
        association = self.schema.association(self.table.name, navigation)
        key = self.sql_name(self.table.primary_id)
        if association:
            relationship, mine, theirs = association
            inner = self.over(self.schema.table(theirs.table))
            members = f"SELECT {quote(theirs.column)} FROM {quote(relationship.intersect)} WHERE {quote(mine.column)}"
            return inner, inner.seen(f"{inner.sql_name(inner.table.primary_id)} IN ({members} = {key})")
        link = self.schema.collections[self.table.name].get(navigation)
        if link is None:
            raise unknown_property(navigation, self.table.name)
        inner = self.over(self.schema.table(link.child))
        return inner, inner.seen(inner.belongs_to(link, key))

    def belongs_to(self, link: Collection, parent: str) -> str:
        """Condition that this scope's row points at a parent through a 1:N relationship."""
        column = self.table.columns[link.column]
        condition = f"{self.sql_name(column.name)} = {parent}"
        if column.is_polymorphic:
            condition += f" AND {self.sql_name(column.type_column)} = {quote_text(link.parent)}"
        return condition

    def comparable(self, operand: Operand) -> str:
        """SQL expression by which a column is compared: text folded, exact numbers by value."""
        if operand.column.type in TEXT_TYPES:
            return f"{self._folding}({operand.sql})"
        if operand.column.type in (ColumnType.MONEY, ColumnType.DECIMAL):
            return f"CAST({operand.sql} AS REAL)"
        return operand.sql

    def bound(self, column: Column, value: SqlValue) -> str:
        """Bind a value that is compared with a column; returns its placeholder."""
        if column.type in TEXT_TYPES:
            value = fold(value) if self.settings.accents_matter else fold_plain(value)
        return self.parameters.add(value)

    def fits(self, operand: Operand, pattern: str) -> str:
        """Condition that a text fits a pattern with wildcards."""
        function = "matches" if self.settings.accents_matter else "matches_plain"
        return f"{function}({operand.sql}, {self.parameters.add(pattern)})"

    @property
    def _folding(self) -> str:
        return "fold" if self.settings.accents_matter else "fold_plain"

    def sorted_by(self, operand: Operand) -> str:
        """SQL expression by which rows are ordered: lookups by the name of their row.

        Raises a 400 for choices, which have no order.
        """
        if operand.column.type is ColumnType.MULTI_SELECT:
            message = f"The column '{operand.column.name}' cannot be sorted."
            raise bad_query(message)
        if operand.column.is_lookup:
            return f"{self._folding}({self.lookup_name(operand)})"
        return self.comparable(operand)

    def lookup_name(self, operand: Operand) -> str:
        """SQL expression for the name of the row that a lookup points at."""
        found = []
        for target in operand.column.targets:
            table = self.schema.tables.get(target)
            if table and table.primary_name:
                inner = self.over(table)
                name = inner.sql_name(table.primary_name)
                found.append(f"(SELECT {name} FROM {inner.source} WHERE {inner.points_here(operand.sql)})")
        return f"coalesce({', '.join([*found, 'NULL', 'NULL'])})"
