"""What the control API takes: one model for each path, which checks what a person sent and carries it out.

Those that change the schema are in :mod:`dynamics_emulator.control.schema_orders`.
"""

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dynamics_emulator.control.actions import Control
from dynamics_emulator.security.founding import MARKETING_SYNC


class Order(BaseModel, ABC):
    """Something to be done to an organisation. Unknown names are refused."""

    model_config = ConfigDict(extra="forbid")

    @abstractmethod
    def carry_out(self, control: Control) -> object:
        """Do it, and return what the API answers, if anything.

        Raises KeyError, TypeError or ValueError for what the organisation does not know.
        """


class FaultOrder(Order):
    """Switch a fault on."""

    name: str
    times: int | None = None
    probability: float | None = None
    at: tuple[int, ...] = ()
    match: str = ""

    def carry_out(self, control: Control) -> object:
        """Returns the fault."""
        return control.add_fault(self.name, self.times, self.probability, self.match, self.at).describe()


class SettingsOrder(Order):
    """Change settings by name."""

    model_config = ConfigDict(extra="allow")

    def carry_out(self, control: Control) -> object:
        """Returns the settings that were named."""
        changes = self.model_extra or {}
        return control.change_settings(**changes).model_dump(mode="json", include=set(changes))


class ClockOrder(Order):
    """Move the clock, stop it, or let it follow the system's; one of the three."""

    advance_seconds: float | None = None
    stop_at: datetime | None = None
    resume: bool = False

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        if self.resume:
            control.resume_clock()
        if self.stop_at:
            control.stop_clock(self.stop_at)
        if self.advance_seconds:
            control.advance_clock(self.advance_seconds)
        return None


class OrganizationOrder(Order):
    """Give the organisation another identity, in whole or in part."""

    model_config = ConfigDict(extra="allow")

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        control.swap_organization(**{name: str(value) for name, value in (self.model_extra or {}).items()})
        return None


class EnvironmentOrder(Order):
    """Keep a moment, refresh the environment with it, or go on as a copy."""

    action: Literal["keep", "refresh", "copy"]
    closed_seconds: float = Field(default=0, ge=0)

    def carry_out(self, control: Control) -> object:
        """Returns which parts of the identity are new."""
        match self.action:
            case "keep":
                control.keep_moment()
                return {"changed": []}
            case "refresh":
                return {"changed": control.refresh_environment(self.closed_seconds)}
            case "copy":
                return {"changed": control.copy_environment()}


class JobOrder(Order):
    """Run a bulk job at once."""

    job: Literal["bulk-update", "bulk-delete"]
    table: str
    rows: int = 1000

    def carry_out(self, control: Control) -> object:
        """Returns how many rows there were."""
        run = control.bulk_update if self.job == "bulk-update" else control.bulk_delete
        return {"rows": run(self.table, self.rows)}


class RuleOrder(Order):
    """Let business logic refuse rows."""

    table: str
    condition: str
    message: str

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        control.add_rule(self.table, self.condition, self.message)
        return None


class PrivilegeOrder(Order):
    """Let a role hold a privilege at a depth, or not at all; ``read`` is short for Read at the depth Global."""

    table: str | None = None
    privilege: str = "Read"
    depth: Literal["Basic", "Local", "Deep", "Global"] | None = None
    read: bool | None = None
    role: str = MARKETING_SYNC

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        depth = "Global" if self.read else self.depth
        control.set_privilege(self.table, self.privilege, depth, self.role)
        return None


class ApplicationOrder(Order):
    """Register a second application, with roles."""

    name: str
    roles: tuple[str, ...] = (MARKETING_SYNC,)

    def carry_out(self, control: Control) -> object:
        """Returns its credentials."""
        added = control.add_application(name=self.name, roles=self.roles)
        return {"client_id": added.client_id, "client_secret": added.client_secret, "user_id": added.user_id}


class SignInOrder(Order):
    """Refuse the next token requests, by a refusal's name or AADSTS number."""

    name: str | int
    times: int = 1

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        control.sign_in_error(self.name, self.times)
        return None


class ExpireOrder(Order):
    """Declare delta tokens expired: of one table, or of all."""

    table: str | None = None

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        control.expire_tracking(self.table)
        return None


class RawOrder(Order):
    """Write stored values straight into a row."""

    table: str
    id: str
    values: dict[str, str | int | float | None]

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        control.write_raw(self.table, self.id, self.values)
        return None
