"""Named switches of the emulator, each with its default.

Where Microsoft documents no behaviour, or two documents disagree, the emulator does not guess: the behaviour is a
setting here, so that a test can run against each possibility.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Behaviour of one running emulator. Unknown names are refused; change one with :func:`SettingsHolder.change`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Sign-in
    token_lifetime_seconds: int | None = Field(default=None, ge=1)
    """Life of an access token; None draws 60 to 90 minutes for each token, as Entra does."""
    unknown_user_status: Literal[401, 403] = 403
    """Status of 0x80072560, an application that is no user of the organisation."""

    # Paging and addresses
    page_size: int = Field(default=5000, ge=1, le=5000)
    """Rows on a page when the caller names no size; also the greatest size."""
    count_limit: int = 5000
    url_limit: int = 32768
    batch_url_limit: int = 65536
    url_too_long_status: int = 414
    gzip_level: int = Field(default=1, ge=0, le=9)

    # Change tracking
    token_life_days: float = Field(default=7, gt=0)
    expired_token_status: int = 400
    tracking_disabled_status: int = 400
    refused_option_status: int = 400
    refused_option_code: str = "0x80060888"
    metadata_change_expires_tokens: bool = False
    tracked_next_link_says_tracking: bool = True
    """Whether ``istracking`` in the nextLink of a tracked read is True."""

    # Queries
    not_equal_matches_null: bool = True
    """Whether ``ne`` also finds rows without a value."""
    in_operator_refused: bool = True
    """Whether the OData 4.01 ``in`` operator is refused."""

    # Writing
    read_only_columns: Literal["ignore", "refuse"] = "ignore"
    qualified_leads_read_only: bool = True

    # Service protection
    request_limit: int = 6000
    execution_milliseconds_limit: int = 1_200_000
    concurrency_limit: int = 52
    limit_window_seconds: int = 300
    retry_after_seconds: int = Field(default=5, ge=0)
    """First Retry-After; it grows by this amount while the caller pushes on."""
    parallelism_hint: int = 4
    affinity_cookie: bool = True

    slow_milliseconds: int = Field(default=1000, ge=0)
    """Delay of the fault ``slow``."""


@dataclass
class SettingsHolder:
    """The one mutable place that holds the current :class:`Settings`."""

    current: Settings

    def change(self, **changes: object) -> Settings:
        """Replace some settings.

        Raises pydantic.ValidationError for an unknown name or a value out of range; nothing is changed then.
        """
        self.current = Settings.model_validate({**self.current.model_dump(), **changes})
        return self.current
