"""Watermarks: up to where the feed of an entity was read. One Airflow Variable an entity, JSON.

Only scheduled and manual runs over changes move one; windows, ids and backfills leave it alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from dynamics_sync.errors import WatermarkError


class Watermark(BaseModel):
    """What the next run begins from. All instants are in UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: When the run that wrote this began; a run that began earlier never replaces it.
    begun_at: AwareDatetime
    #: Where change tracking goes on. None: the next run compares the keys of the whole table first.
    delta_link: str | None = None
    #: The newest `modifiedon` that Dynamics showed; for tables without change tracking.
    modified_up_to: AwareDatetime | None = None
    #: When the keys of the whole table were last compared; for tables without change tracking.
    keys_checked_at: AwareDatetime | None = None
    #: How many rows the table had then.
    keys: int | None = None
    #: When a run last asked which organisation this is.
    organization_checked_at: AwareDatetime | None = None


class Variables(Protocol):
    """The two calls that the sync makes to Airflow's Variables; a dict-like stand-in serves without Airflow."""

    def get(self, key: str) -> str | None: ...

    def set(self, key: str, value: str) -> None: ...


class ReverseWatermark(BaseModel):
    """What the next run to Dynamics begins from. `begun_at` is of the worker's clock, the others of the database's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: When the run that wrote this began; a run that began earlier never replaces it.
    begun_at: AwareDatetime
    #: Rows that were changed before are written, or in quarantine.
    collected_at: AwareDatetime
    #: When all rows were last compared, and not only those that had changed since.
    compared_at: AwareDatetime


def variable_name(entity: str) -> str:
    """The Variable that holds the watermark of an entity."""
    return f"dynamics_watermark_{entity}"


def reverse_variable_name(entity: str) -> str:
    """The Variable that holds the watermark of the way back of an entity."""
    return f"dynamics_reverse_watermark_{entity}"


AnyWatermark = TypeVar("AnyWatermark", Watermark, ReverseWatermark)


def _read(variables: Variables, name: str, model: type[AnyWatermark]) -> AnyWatermark | None:
    text = variables.get(name)
    if text is None:
        return None
    try:
        return model.model_validate_json(text)
    except ValidationError:
        message = f"the Variable {name} holds no watermark that can be read"
        raise WatermarkError(message, not_done="Nothing was read from Dynamics") from None


def _advance(variables: Variables, name: str, watermark: AnyWatermark, log: Callable[[str], None]) -> bool:
    held = _read(variables, name, type(watermark))
    if held is not None and held.begun_at > watermark.begun_at:
        log(f"The watermark stays: a run that began later, at {format_instant(held.begun_at)}, wrote it.")
        return False
    variables.set(name, watermark.model_dump_json(exclude_none=True))
    return True


@dataclass(frozen=True, slots=True)
class WatermarkStore:
    """Reads and advances the watermark of one entity."""

    entity: str
    variables: Variables

    def read(self) -> Watermark | None:
        """Return the watermark, or None before the first copy; WatermarkError if the Variable is not ours."""
        return _read(self.variables, variable_name(self.entity), Watermark)

    def advance(self, watermark: Watermark, *, log: Callable[[str], None]) -> bool:
        """Write the watermark unless a run that began later has written one; return whether it was written."""
        return _advance(self.variables, variable_name(self.entity), watermark, log)


@dataclass(frozen=True, slots=True)
class ReverseWatermarkStore:
    """Reads and advances the watermark of the way back of one entity."""

    entity: str
    variables: Variables

    def read(self) -> ReverseWatermark | None:
        """Return the watermark, or None before the first run; WatermarkError if the Variable is not ours."""
        return _read(self.variables, reverse_variable_name(self.entity), ReverseWatermark)

    def advance(self, watermark: ReverseWatermark, *, log: Callable[[str], None]) -> bool:
        """Write the watermark unless a run that began later has written one; return whether it was written."""
        return _advance(self.variables, reverse_variable_name(self.entity), watermark, log)


def format_instant(instant: datetime) -> str:
    """Write an instant as people and Dataverse read it, to the second, in UTC."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
