"""What the control API takes to change the schema of an organisation."""

from typing import Literal, get_args

from pydantic import Field
from pydantic.types import JsonValue

from dynamics_emulator.control.actions import Control
from dynamics_emulator.control.known import known_column, known_table, require_known
from dynamics_emulator.control.orders import Order
from dynamics_emulator.schema.model import OPTION_TYPES, TEXT_TYPES, ColumnType, Schema

RequiredLevel = Literal["None", "Recommended", "ApplicationRequired", "SystemRequired"]
COLUMN_FACTS = (
    "behavior",
    "create",
    "display",
    "format",
    "global",
    "length",
    "max",
    "min",
    "navigation",
    "on_delete",
    "options",
    "precision",
    "read_only",
    "required",
    "schema_name",
    "targets",
    "update",
)
"""What may be said of a new column beside its type."""


class TrackingOrder(Order):
    """Switch change tracking of a table on or off."""

    table: str
    enabled: bool

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        known_table(control.schema, self.table)
        control.set_tracking(self.table, enabled=self.enabled)
        return None


class ColumnOrder(Order):
    """Change a column; ``facts`` are those of a new column or a new type, such as ``length`` or ``options``."""

    table: str
    column: str
    action: Literal["add", "drop", "rename", "retype", "shorten", "require"]
    type: ColumnType = ColumnType.STRING
    to: str = ""
    length: int = Field(default=1, ge=1)
    level: RequiredLevel = "ApplicationRequired"
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    published: bool = True

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        self._require_sense(control.schema)
        match self.action:
            case "add":
                control.add_column(self.table, self.column, self.type, published=self.published, **self.facts)
            case "drop":
                control.drop_column(self.table, self.column, published=self.published)
            case "rename":
                control.rename_column(self.table, self.column, self.to)
            case "retype":
                control.retype_column(self.table, self.column, self.type, published=self.published, **self.facts)
            case "shorten":
                control.shorten_column(self.table, self.column, self.length)
            case "require":
                control.require_column(self.table, self.column, self.level)
        return None

    def _require_sense(self, schema: Schema) -> None:
        for fact in self.facts:
            require_known("fact of a column", fact, COLUMN_FACTS)
        if "required" in self.facts:
            require_known("required level", str(self.facts["required"]), get_args(RequiredLevel))
        if self.action == "add":
            known_table(schema, self.table)
            return
        column = known_column(schema, self.table, self.column)
        if self.action == "shorten" and column.type not in TEXT_TYPES:
            message = f"{self.table}.{self.column} is of the type {column.type}; only String and Memo have a length"
            raise ValueError(message)


class OptionOrder(Order):
    """Change an option of a column."""

    table: str
    column: str
    value: int
    action: Literal["add", "remove", "relabel"]
    label: str = ""
    state: int | None = None

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        self._require_sense(control.schema)
        match self.action:
            case "add":
                control.add_option(self.table, self.column, self.value, self.label, state=self.state)
            case "remove":
                control.remove_option(self.table, self.column, self.value)
            case "relabel":
                control.relabel_option(self.table, self.column, self.value, self.label)
        return None

    def _require_sense(self, schema: Schema) -> None:
        column = known_column(schema, self.table, self.column)
        if column.type not in OPTION_TYPES:
            message = f"{self.table}.{self.column} is of the type {column.type}, which has no options"
            raise ValueError(message)
        if self.action != "add":
            values = [str(value) for value in column.labels]
            require_known(f"option of {self.table}.{self.column}", str(self.value), values)


class KeyOrder(Order):
    """Add or remove an alternate key, or set the state of its index."""

    table: str
    key: str
    action: Literal["add", "remove", "status"]
    columns: tuple[str, ...] = ()
    status: Literal["Pending", "InProgress", "Active", "Failed"] = "Active"

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        known_table(control.schema, self.table)
        for column in self.columns:
            known_column(control.schema, self.table, column)
        match self.action:
            case "add":
                control.add_key(self.table, self.key, self.columns, self.status)
            case "remove":
                control.remove_key(self.table, self.key)
            case "status":
                control.set_key_status(self.table, self.key, self.status)
        return None


class PublishOrder(Order):
    """Publish the changes of the schema that wait for it."""

    def carry_out(self, control: Control) -> object:
        """Returns how many there were."""
        return {"published": control.publish()}
