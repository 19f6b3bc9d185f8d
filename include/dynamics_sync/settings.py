"""Settings of the sync as a whole: the Airflow Variable `dynamics_sync`, JSON, checked once when it is read."""

import difflib
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dynamics_sync.errors import SettingsError
from dynamics_sync.pace import Budget

#: The Airflow Variable that holds the settings.
VARIABLE = "dynamics_sync"

DagId = Annotated[str, Field(pattern=r"^dynamics_[a-z0-9_]+$")]


class Settings(BaseModel):
    """What a team may set; each has a default, so that an empty Variable is a valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dynamics_conn_id: str = "dynamics_default"
    marketing_conn_id: str = "marketing_db"
    #: Where rows travel between tasks: a folder or an object store (`s3://…`, `abfs://…`) that all workers reach.
    #: Empty: the folder `dynamics_staging` in AIRFLOW_HOME.
    staging: str = ""
    #: Staging of failed runs is removed by dynamics_operations after so many days; it holds personal data.
    staging_days: Annotated[int, Field(ge=1, le=365)] = 7
    #: Rows a page; Dataverse gives 5,000 at most.
    page_size: Annotated[int, Field(ge=1, le=5000)] = 5000
    #: Rows that one mapped task copies in a full copy, at most; fewer where that gives more tasks something to do.
    rows_per_slice: Annotated[int, Field(ge=100)] = 250_000
    #: Changed ids that one mapped task fetches.
    ids_per_slice: Annotated[int, Field(ge=100)] = 5_000
    #: For tables without change tracking: how far behind the newest `modifiedon` the feed reads again.
    overlap_seconds: Annotated[int, Field(ge=0)] = 300
    #: For tables without change tracking: all keys are compared at each run up to so many rows, ...
    key_check_rows: Annotated[int, Field(ge=0)] = 25_000
    #: ... and after so many hours where there are more.
    key_check_hours: Annotated[float, Field(gt=0)] = 24.0
    #: A run that finds no changes asks Dynamics which organisation it is only after so many minutes.
    organization_check_minutes: Annotated[float, Field(ge=0)] = 60.0
    #: On the way to Dynamics: how many records one `$batch` carries; one mapped task sends one of them.
    records_per_batch: Annotated[int, Field(ge=1, le=1000)] = 500
    #: How often a record that changes in Dynamics all the time is read and tried again in one run.
    conflict_rounds: Annotated[int, Field(ge=1, le=20)] = 3
    #: A refused record is tried again after so many minutes, then after twice as many, up to a day.
    retry_refused_minutes: Annotated[float, Field(gt=0)] = 15.0
    #: All rows are compared, and not only those that changed since the last run, after so many hours.
    full_comparison_hours: Annotated[float, Field(ge=0)] = 24.0
    #: Plans are removed from `sync_plan` by dynamics_operations after so many days; they hold personal data.
    plan_days: Annotated[int, Field(ge=1, le=3650)] = 30
    #: A task that has to wait longer for Dynamics, in seconds, frees its worker meanwhile.
    longest_wait_seconds: Annotated[float, Field(ge=0, le=600)] = 60.0
    #: How many requests all DAGs together may send to Dynamics on one day (UTC); None for no limit, ...
    requests_per_day: Annotated[int, Field(ge=20)] | None = None
    #: ... the share of them that only dynamics_reverse may use, ...
    write_back_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    #: ... and how many single DAGs may send.
    requests_per_day_of: Mapping[DagId, Annotated[int, Field(ge=20)]] = Field(default_factory=dict)
    #: A run may mark at most this share of a table's living rows as deleted, ...
    deletion_breaker_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    #: ... but so many rows always.
    deletion_breaker_at_least: Annotated[int, Field(ge=0)] = 25

    @property
    def budget(self) -> Budget:
        """How many requests may be sent on one day."""
        return Budget(self.requests_per_day, self.write_back_share, self.requests_per_day_of)


def parse_settings(text: str | None) -> Settings:
    """Read the Variable's JSON; SettingsError with the nearest valid word if it is wrong. None means all defaults."""
    try:
        return Settings.model_validate_json(text) if text else Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        word = ".".join(str(part) for part in first["loc"])
        near = difflib.get_close_matches(word, Settings.model_fields, n=1)
        hint = f"; did you mean `{near[0]}`?" if near and first["type"] == "extra_forbidden" else ""
        message = f"the Variable {VARIABLE}: {f'`{word}`: ' if word else ''}{first['msg']}{hint}"
        raise SettingsError(message) from None
