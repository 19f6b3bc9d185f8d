"""What the control API takes: one model for each path, which checks what a person sent and carries it out.

Those that change the schema are in :mod:`dynamics_emulator.control.schema_orders`.
"""

from abc import ABC, abstractmethod
from typing import Literal, get_origin

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from dynamics_emulator.control.actions import Control
from dynamics_emulator.control.known import known_column, known_table, require_known
from dynamics_emulator.security.founding import MARKETING_SYNC
from dynamics_emulator.security.privileges import Right
from dynamics_emulator.settings import Settings
from dynamics_emulator.signin.refusals import REFUSALS


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
    in_batch: bool = False

    def carry_out(self, control: Control) -> object:
        """Returns the fault."""
        added = control.add_fault(self.name, self.times, self.probability, self.match, self.at, in_batch=self.in_batch)
        return added.describe()


class SettingsOrder(Order):
    """Change settings by name."""

    model_config = ConfigDict(extra="allow")

    def carry_out(self, control: Control) -> object:
        """Returns the settings that were named."""
        changes = {name: _setting(name, value) for name, value in (self.model_extra or {}).items()}
        return control.change_settings(**changes).model_dump(mode="json", include=set(changes))


def _setting(name: str, value: object) -> object:
    """A setting's value: its default for the word ``default``, and a list of words also as one text with commas."""
    require_known("setting", name, Settings.model_fields)
    field = Settings.model_fields[name]
    if value == "default":
        return field.get_default(call_default_factory=True)
    is_list = get_origin(field.annotation) is tuple
    return [part.strip() for part in value.split(",") if part.strip()] if is_list and isinstance(value, str) else value


class ClockOrder(Order):
    """Move the clock, stop it, or let it follow the system's; one of the three."""

    advance_seconds: float | None = None
    stop_at: AwareDatetime | None = None
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
        known_table(control.schema, self.table)
        run = control.bulk_update if self.job == "bulk-update" else control.bulk_delete
        return {"rows": run(self.table, self.rows)}


class RuleOrder(Order):
    """Let business logic refuse rows."""

    table: str
    condition: str
    message: str

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        known_table(control.schema, self.table)
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
        if self.table:
            known_table(control.schema, self.table)
            require_known("right on a table", self.privilege, list(Right))
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
        numbers = [str(refusal.number) for refusal in REFUSALS.values()]
        require_known("refusal", str(self.name).removeprefix("AADSTS"), [*REFUSALS, *numbers])
        control.sign_in_error(self.name, self.times)
        return None


class ExpireOrder(Order):
    """Declare delta tokens expired: of one table, or of all."""

    table: str | None = None

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        if self.table is not None:
            known_table(control.schema, self.table)
        control.expire_tracking(self.table)
        return None


class RawOrder(Order):
    """Write stored values straight into a row."""

    table: str
    id: str
    values: dict[str, str | int | float | None]

    def carry_out(self, control: Control) -> object:
        """Returns nothing."""
        for name in self.values:
            known_column(control.schema, self.table, name.removesuffix("__type"))
        control.write_raw(self.table, self.id, self.values)
        return None
