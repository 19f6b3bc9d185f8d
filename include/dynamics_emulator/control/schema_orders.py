"""What the control API takes to change the schema of an organisation."""

from typing import Literal

from pydantic import Field
from pydantic.types import JsonValue

from dynamics_emulator.control.actions import Control
from dynamics_emulator.control.orders import Order


class TrackingOrder(Order):
    """Switch change tracking of a table on or off."""

    table: str
    enabled: bool

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        control.set_tracking(self.table, enabled=self.enabled)
        return None


class ColumnOrder(Order):
    """Change a column; ``facts`` are those of a new column or a new type, such as ``length`` or ``options``."""

    table: str
    column: str
    action: Literal["add", "drop", "rename", "retype", "shorten", "require"]
    type: str = "String"
    to: str = ""
    length: int = Field(default=1, ge=1)
    level: str = "ApplicationRequired"
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    published: bool = True

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
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
        match self.action:
            case "add":
                control.add_option(self.table, self.column, self.value, self.label, state=self.state)
            case "remove":
                control.remove_option(self.table, self.column, self.value)
            case "relabel":
                control.relabel_option(self.table, self.column, self.value, self.label)
        return None


class KeyOrder(Order):
    """Add or remove an alternate key, or set the state of its index."""

    table: str
    key: str
    action: Literal["add", "remove", "status"]
    columns: tuple[str, ...] = ()
    status: Literal["Pending", "InProgress", "Active", "Failed"] = "Active"

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
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
