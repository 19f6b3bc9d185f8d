"""Named switches of the emulator, each with its default.

Where Microsoft documents no behaviour, or two documents disagree, the emulator does not guess: the behaviour is a
setting here, so that a test can run against each possibility.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.types import JsonValue

IdentityPart = Literal["organization_id", "environment_id", "tenant_id", "unique_name", "url_name"]


def undocumented(default: JsonValue, *others: JsonValue) -> Any:
    """A setting whose true value nobody documents; ``others`` are the values that a client must live with as well."""
    return Field(default=default, json_schema_extra={"undocumented": [default, *others]})


def _known_zone(name: str) -> str:
    """Raises ValueError for a name that the time zone database does not have."""
    try:
        return ZoneInfo(name).key
    except (KeyError, OSError) as problem:
        message = f"{name!r} is no time zone"
        raise ValueError(message) from problem


ZoneName = Annotated[str, AfterValidator(_known_zone)]


class Settings(BaseModel):
    """Behaviour of one running emulator. Unknown names are refused; change one with :func:`SettingsHolder.change`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)

    # Sign-in
    token_lifetime_seconds: int | None = Field(default=None, ge=1)
    """Life of an access token; None draws 60 to 90 minutes for each token, as Entra does."""
    unknown_user_status: Literal[401, 403] = undocumented(403, 401)
    """Status of 0x80072560, an application that is no user of the organisation."""
    assertion_replay_refused: bool = undocumented(False, True)
    """Whether Entra refuses a client assertion whose ``jti`` it has seen before."""

    # Rights
    disabled_user_status: int = undocumented(403, 400, 401)
    """Status of 0x80040225, a caller whose user is disabled."""
    row_refused_code: str = undocumented("0x80040220", "0x80048306")
    """Code for a row that lies beyond the depth of the caller's privilege."""
    unknown_impersonated_status: int = undocumented(404, 400, 403)
    """Status of 0x80040217, an impersonated user who does not exist."""
    owner_needs_privilege: bool = True
    """Whether a row can be given only to a user or team that may read such rows."""
    permission_cache_seconds: float = Field(default=0, ge=0)
    """How long a changed role goes unnoticed (about 30 s in the cloud); ``Consistency: Strong`` sees it at once."""

    # Paging and addresses
    page_size: int = Field(default=5000, ge=1, le=5000)
    """Rows on a page when the caller names no size; also the greatest size."""
    count_limit: int = 5000
    url_limit: int = 32768
    batch_url_limit: int = 65536
    body_limit_bytes: int = Field(default=128 * 1024 * 1024, ge=0)
    """Length of the longest body of a request; a longer one is refused with 413 before it is read whole."""
    alias_hosts: tuple[str, ...] = ()
    """Other hosts that are the organisation's too, with their port, as ``<org>.api.crm4.dynamics.com`` is beside
    ``<org>.crm4.dynamics.com``; a token for the organisation is good there too."""
    url_too_long_status: int = undocumented(414, 400, 404)
    """Status of an address that is too long."""
    gzip_level: int = Field(default=1, ge=0, le=9)

    # Change tracking
    token_life_days: float = Field(default=7, gt=0, json_schema_extra={"undocumented": [7, 30, 90]})
    """Days after which a delta token has expired; Microsoft's pages said 7, 30 and 90."""
    expired_token_status: int = undocumented(400, 404, 410, 412, 500)
    """Status of 0x80044352, an expired delta token."""
    tracking_disabled_status: int = undocumented(400, 403, 404, 405)
    """Status of 0x80072491 and 0x80072492, change tracking of a table or an N:N relationship that has none."""
    refused_option_status: int = undocumented(400, 405, 501)
    """Status of a query option that change tracking refuses."""
    refused_option_code: str = undocumented("0x80060888", "0x8006088a")
    """Code of a query option that change tracking refuses."""
    tracked_count_refused: bool = undocumented(True, False)
    """Whether change tracking refuses ``$count`` as it refuses ``$filter``; else no count comes."""
    metadata_change_expires_tokens: bool = undocumented(False, True)
    """Whether a change of a table's metadata expires its delta tokens."""
    metadata_stamp_life_days: float = Field(default=90, gt=0)
    """Life of the version stamp that RetrieveMetadataChanges gives."""
    new_key_status: Literal["Active", "Pending", "InProgress", "Failed"] = "Active"
    """State of the index of a key that is made through the Web API; Dataverse builds it in a job of its own."""
    metadata_function_status: int = undocumented(400, 501)
    """Status of a function in a ``$filter`` on metadata; public reports disagree."""
    metadata_enum_literals_required: bool = undocumented(True, False)
    """Whether ``AttributeType eq 'String'``, without the name of the enumeration, is refused.

    Microsoft's page on metadata queries says that the name is needed; the docstrings of Microsoft's Python client
    leave it out.
    """
    tracked_next_link_says_tracking: bool = undocumented(True, False)
    """Whether ``istracking`` in the nextLink of a tracked read is True."""

    # Queries
    not_equal_matches_null: bool = undocumented(True, False)
    """Whether ``ne`` also finds rows without a value."""
    in_operator_refused: bool = undocumented(True, False)
    """Whether the OData 4.01 ``in`` operator is refused."""
    wildcards_in_equality: bool = undocumented(True, False)
    """Whether ``% _ [] [^]`` act in ``eq`` and ``ne`` too. One page says so of all filters on strings, another names
    only ``contains``, ``startswith`` and ``endswith``."""
    accents_matter: bool = undocumented(True, False)
    """Whether é and e differ in comparisons; it depends on the collation of the organisation's database."""
    filter_with_apply: Literal["before", "refuse"] = undocumented("before", "refuse")
    """Whether ``$filter`` beside ``$apply`` chooses the rows that are aggregated, or is refused."""
    fiscal_windows_reach_now: bool = undocumented(False, True)
    """Whether ``LastXFiscalYears`` and its kin reach up to (or start) now; else they mean whole years and periods."""
    aggregate_limit: int = 50_000
    """Most rows that ``$apply`` takes."""
    hierarchy_depth: int = Field(default=3, ge=0, le=100)
    """Levels of reports that ``EqualUserOrUserHierarchy`` sees: the organisation's hierarchy depth."""
    user_time_zone: ZoneName = "UTC"
    """Time zone of the callers: the days of ``Today``, ``On`` and the like."""
    user_language: int = 1033
    """Language of the callers, for ``EqualUserLanguage``."""
    week_starts_on: int = Field(default=6, ge=0, le=6)
    """First day of a week, from 0 for Monday to 6 for Sunday."""
    fiscal_year_start: str = Field(default="01-01", pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$")
    """Month and day on which the organisation's fiscal year begins."""
    fiscal_periods: Literal["Annually", "Semiannually", "Quarterly", "Monthly"] = "Quarterly"
    """Length of a fiscal period."""

    # Writing
    read_only_columns: Literal["ignore", "refuse"] = undocumented("ignore", "refuse")
    """What becomes of a value for a read-only column."""
    trims_text: Literal["nothing", "end", "both"] = undocumented("nothing", "end", "both")
    """Which blanks around a text are lost when it is written; its length is checked as it was sent."""
    empty_text: Literal["null", "kept"] = undocumented("null", "kept")
    """Whether an empty text, or one of which nothing is left, is stored as no value."""
    extra_digits: Literal["half_even", "half_up", "cut"] = undocumented("half_even", "half_up", "cut")
    """What becomes of more decimals than the column of a decimal or of money has: rounded, with a half to the even
    neighbour or away from zero, or cut off."""
    rounds_doubles: bool = undocumented(False, True)
    """Whether a floating-point number is rounded to the decimals of its column too."""
    qualified_leads_read_only: bool = True
    system_required_enforced: bool = True
    """Whether a new row needs every SystemRequired column that the platform does not fill itself."""
    application_required_enforced: bool = False
    """Whether ApplicationRequired columns are needed too; forms enforce them, the Web API is not known to."""
    duplicate_alternate_key_status: int = undocumented(412, 400)
    """Status of 0x80060892."""
    duplicate_detection_status: int = undocumented(412, 500)
    """Status of 0x80040333, on which two pages of Microsoft disagree."""
    change_set_failure_parts: Literal["one", "wrapped"] = undocumented("one", "wrapped")
    """Whether a failed change set answers with its error alone, or with a multipart around it."""

    # Actions
    qualify_lead_answer: Literal["rows", "empty"] = undocumented("rows", "empty")
    """Whether QualifyLead answers with the rows that it made (200) or with nothing (204)."""
    qualify_fills_lead: bool = undocumented(True, False)
    """Whether QualifyLead sets ``parentaccountid`` and ``parentcontactid`` of the lead."""
    merged_lead_state: Literal[0, 1, 2] = undocumented(2, 1, 0)
    """``statecode`` of a lead that was merged into another; accounts and contacts become inactive."""
    bulk_delete_wait_seconds: float = Field(default=0, ge=0)
    """How long a BulkDelete job waits in the queue at least, by the organisation's clock."""
    merge_shows_as: Literal["update", "delete"] = undocumented("update", "delete")
    """How the subordinate of a merge appears in the answers of change tracking."""

    # Service protection
    request_limit: int = undocumented(6000, 8000)
    """Requests of a user in five minutes; an answer was seen that leads to 8,000."""
    execution_milliseconds_limit: int = 1_200_000
    concurrency_limit: int = 52
    limit_window_seconds: int = 300
    retry_after_seconds: int = Field(default=5, ge=0)
    """First Retry-After; it grows by this amount while the caller pushes on, and shrinks as it waits."""
    parallelism_hint: int = 4
    affinity_cookie: bool = undocumented(True, False)
    """Whether an answer binds its caller to the server that gave it; without, calls spread over all servers."""
    servers: int = Field(default=1, ge=1, le=64, json_schema_extra={"undocumented": [1, 2]})
    """Simulated web servers; each counts the limits for itself."""

    # The line, and what an administrator does
    slow_milliseconds: int = Field(default=1000, ge=0, le=600_000)
    """Delay of the fault ``slow``."""
    latency_milliseconds: int = Field(default=0, ge=0, le=600_000)
    """How long every answer of the Web API waits before it is sent."""
    bandwidth_bytes_per_second: int = Field(default=0, ge=0)
    """How fast the body of an answer goes over the line; 0 is without limit."""
    administration_mode_status: int = undocumented(503, 403, 500)
    """Status of every request while an environment is refreshed in administration mode."""
    refresh_changes: tuple[IdentityPart, ...] = undocumented(
        ["organization_id", "unique_name"], [], ["organization_id"], ["unique_name", "url_name"]
    )
    """Which parts of its identity an environment loses when another one is copied over it."""
    copy_changes: tuple[IdentityPart, ...] = undocumented(
        ["organization_id", "environment_id", "unique_name", "url_name"],
        ["environment_id", "unique_name", "url_name"],
    )
    """Which parts of its identity a copy does not share with the environment that it was made of."""


def undocumented_settings() -> Mapping[str, list[JsonValue]]:
    """The settings that stand for what nobody documents, each with its default and the other values to live with."""
    found: dict[str, list[JsonValue]] = {}
    for name, field in Settings.model_fields.items():
        values = field.json_schema_extra.get("undocumented") if isinstance(field.json_schema_extra, dict) else None
        if isinstance(values, list):
            found[name] = values
    return found


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
