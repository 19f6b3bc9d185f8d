"""What an expression is compiled against: tables, aliases, bound values and the present instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from dynamics_emulator.errors import bad_query, unknown_property
from dynamics_emulator.schema.model import Collection, Column, ColumnType, Schema, Table
from dynamics_emulator.settings import Settings
from dynamics_emulator.storage.database import SqlValue
from dynamics_emulator.storage.layout import quote, quote_text

MEMBERSHIP = "teammembership_association"
_MEMBERSHIP_SIDES = {"team": ("teamid", "systemuserid", "systemuser"), "systemuser": ("systemuserid", "teamid", "team")}


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
    """An SQL expression that holds the value of a column."""

    sql: str
    column: Column


@dataclass(frozen=True)
class Scope:
    """One table under one alias. ``variables`` are the range variables of enclosing lambdas."""

    schema: Schema
    table: Table
    alias: str
    parameters: Parameters
    settings: Settings
    now: datetime
    user_id: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, "Scope"] = field(default_factory=dict)

    def over(self, table: Table) -> "Scope":
        """The same request over another table, under a new alias."""
        return replace(self, table=table, alias=self.parameters.alias())

    def sql_name(self, column: str) -> str:
        """A qualified SQL column."""
        return f"{self.alias}.{quote(column)}"

    def column(self, name: str) -> Operand:
        """The column with this OData property name. Raises a 400 when there is none."""
        column = self.table.properties.get(name)
        if column is None:
            raise unknown_property(name, self.table.name)
        return Operand(self.sql_name(column.name), column)

    def through(self, navigation: str, name: str) -> Operand:
        """A column of the row behind a single-valued navigation property."""
        link = self.table.navigations.get(navigation)
        if link is None:
            raise unknown_property(navigation, self.table.name)
        column, targets = link
        for target in targets:
            table = self.schema.tables.get(target)
            found = table.properties.get(name) if table else None
            if table and found:
                inner = self.over(table)
                where = inner.points_here(self.sql_name(column.name))
                sql = f"(SELECT {inner.sql_name(found.name)} FROM {inner.source} WHERE {where})"
                return Operand(sql, found)
        raise unknown_property(name, targets[0])

    @property
    def source(self) -> str:
        """The table for a FROM clause."""
        return f"{quote(self.table.name)} {self.alias}"

    def points_here(self, reference: str) -> str:
        """Condition that a reference holds the key of this scope's row."""
        return f"{self.sql_name(self.table.primary_id)} = {reference}"

    def collection(self, navigation: str) -> tuple["Scope", str]:
        """Rows behind a collection-valued property: their scope, and the condition that ties them to this row."""
        if navigation == MEMBERSHIP and self.table.name in _MEMBERSHIP_SIDES:
            return self._members()
        link = self.schema.collections[self.table.name].get(navigation)
        if link is None:
            raise unknown_property(navigation, self.table.name)
        inner = self.over(self.schema.table(link.child))
        return inner, inner.belongs_to(link, self.sql_name(self.table.primary_id))

    def belongs_to(self, link: Collection, parent: str) -> str:
        """Condition that this scope's row points at a parent through a 1:N relationship."""
        column = self.table.columns[link.column]
        condition = f"{self.sql_name(column.name)} = {parent}"
        if column.is_polymorphic:
            condition += f" AND {self.sql_name(column.type_column)} = {quote_text(link.parent)}"
        return condition

    def _members(self) -> tuple["Scope", str]:
        mine, theirs, other = _MEMBERSHIP_SIDES[self.table.name]
        inner = self.over(self.schema.table(other))
        link = self.parameters.alias()
        condition = (
            f"EXISTS (SELECT 1 FROM teammembership {link} WHERE {link}.{mine} = "
            f"{self.sql_name(self.table.primary_id)} AND {link}.{theirs} = {inner.sql_name(inner.table.primary_id)})"
        )
        return inner, condition


def sort_expression(operand: Operand) -> str:
    """SQL expression by which Dataverse orders a column: text without case, numbers by value."""
    match operand.column.type:
        case ColumnType.STRING | ColumnType.MEMO:
            return f"fold({operand.sql})"
        case ColumnType.MONEY | ColumnType.DECIMAL:
            return f"CAST({operand.sql} AS REAL)"
        case ColumnType.MULTI_SELECT:
            message = f"The column '{operand.column.name}' cannot be sorted."
            raise bad_query(message)
        case _:
            return operand.sql
