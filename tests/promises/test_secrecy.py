"""Secrets and personal data reach no log, no XCom, no error message."""

import json
import logging
from typing import Any

import pytest

#: Words that stand in records only; each is put where it can hurt.
PERSONAL = {
    "lastname": "Zwiebelkuchen",
    "emailaddress1": "hemmelig@example.org",
    "jobtitle": "Fritvalgsordning",
    "description": "Tavshedspligt",
}


def test_no_record_and_no_secret_leaves_the_sync(sync: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    sync.settings["page_size"] = 1
    good = sync.create("leads", **PERSONAL)
    option = sync.create("leads", **PERSONAL)
    dated = sync.create("leads", **PERSONAL)
    control = sync.dynamics.control
    control.write_raw("lead", option, {"leadsourcecode": 4711})
    control.write_raw("lead", dated, {"estimatedclosedate": PERSONAL["jobtitle"]})
    caplog.clear()
    said = run_and_listen(sync)
    assert set(sync.living("lead")) == {good}
    said += fail_in_every_way(sync)
    said += [record.getMessage() for record in caplog.records if not record.name.startswith("dynamics_emulator")]
    said += [json.dumps(run, default=str) for run in sync.sql("select * from sync_run")]
    said += [json.dumps(row, default=str) for row in sync.sql("select code, reason, column_name from sync_quarantine")]
    said += list(sync.variables.values())
    text = "\n".join(said)
    token = sync.session.headers["Authorization"].removeprefix("Bearer ")
    for word in (*PERSONAL.values(), sync.dynamics.client_secret, token, "Bearer ey"):
        assert word not in text
    assert "Read 3" in text  # Something was said.


def run_and_listen(sync: Any) -> list[str]:
    """Run; return all that went from task to task."""
    entity, trigger = sync.entity("lead"), sync.trigger()
    run_key, references = sync.begin(entity, trigger)
    for reference in references:
        sync.copy(entity, reference)
    sync.finish(entity, trigger, run_key)
    return [json.dumps(references), run_key]


def fail_in_every_way(sync: Any) -> list[str]:
    """Run under faults and against a marketing database that refuses; return the messages, with their causes."""
    said = []
    control = sync.dynamics.control
    for fault in ("truncated-json", "html-200", "foreign-link", "status-500", "token-expired-401", "drop-during"):
        control.add_fault(fault, probability=1.0, match="/leads")
        said += failing(sync)
        control.clear_faults()
    with sync.open_database() as database, database.writing() as connection:
        # A rule of the team's own, of which the sync knows nothing: the merge itself is refused.
        refuse_name(connection, sync.database_url)
    for key in sync.living("lead"):
        sync.api("PATCH", f"leads({key})", {"lastname": PERSONAL["lastname"] + "!"}, **{"If-Match": "*"})
    return said + failing(sync)


def refuse_name(connection: Any, url: str) -> None:
    if url.startswith("sqlite"):
        connection.exec_driver_sql(
            "CREATE TRIGGER no_edit BEFORE UPDATE ON lead BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    else:
        connection.exec_driver_sql("ALTER TABLE lead ADD CONSTRAINT no_kuchen CHECK (last_name <> 'Zwiebelkuchen!')")


def failing(sync: Any) -> list[str]:
    """Run in vain; return what the error and its causes say."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it must not tell
        sync.run("lead", mode="full")
    said = []
    error: BaseException | None = caught.value
    while error is not None:
        said += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return said
