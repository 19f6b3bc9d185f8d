"""Secrets and personal data reach no log, no XCom, no error message."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from dynamics_sync.reverse import tasks as reverse

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
    text = all_that_was_said(sync, caplog, said)
    assert "Read 3" in text  # Something was said.


def test_no_record_and_no_secret_leaves_the_way_back(sync: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    keys = [sync.create("leads", lastname=f"Lee {number}") for number in range(4)]
    for _ in range(2):
        sync.run("lead")
    caplog.clear()
    said = [*write_and_listen(sync, keys), *refuse_and_listen(sync, keys)]
    text = all_that_was_said(sync, caplog, said)
    assert "| lead | update | 2 | 4 |" in text  # Something was said.
    assert "DS-422" in text


def all_that_was_said(sync: Any, caplog: pytest.LogCaptureFixture, said: list[str]) -> str:
    """Add logs, tables and Variables to what was said, see that nothing personal and no secret is in it; return it."""
    said += [record.getMessage() for record in caplog.records if not record.name.startswith("dynamics_emulator")]
    said += [json.dumps(run, default=str) for run in sync.sql("select * from sync_run")]
    said += [json.dumps(row, default=str) for row in sync.sql("select code, reason, column_name from sync_quarantine")]
    said += list(sync.variables.values())
    text = "\n".join(said)
    token = sync.session.headers["Authorization"].removeprefix("Bearer ")
    for word in (*PERSONAL.values(), sync.dynamics.client_secret, token, "Bearer ey"):
        assert word not in text
    return text


def edit(sync: Any, keys: list[str]) -> None:
    """Edit the records and add one, with words that stand nowhere else."""
    for key in keys:
        values = "last_name = :lastname, job_title = :jobtitle"
        sync.write(f"UPDATE lead SET {values} WHERE lead_id = :key", key=key, **PERSONAL)
    sync.write("INSERT INTO lead (last_name, email) VALUES (:lastname, :emailaddress1)", **PERSONAL)


def write_and_listen(sync: Any, keys: list[str]) -> list[str]:
    """Run to Dynamics with edits, a conflict, a link and refusals; return all that went from task to task."""
    control = sync.dynamics.control
    sync.create("leads", lastname="Old", emailaddress1=PERSONAL["emailaddress1"])
    edit(sync, keys[:2])
    sync.api("PATCH", f"leads({keys[0]})", {"lastname": "Other"}, **{"If-Match": "*"})
    control.add_fault("status-500", times=1, match="$batch")
    run_key = sync.collect()
    summary, references = reverse.plan(sync.two_way, sync.services, run_key)
    said = [json.dumps(references), summary.as_table(), summary.as_list()]
    said += [json.dumps(sync.apply(reference)) for reference in references]
    return [*said, json.dumps(sync.record(run_key))]


def refuse_and_listen(sync: Any, keys: list[str]) -> list[str]:
    """Let Dynamics, the wire and the marketing database refuse what is written; return the messages."""
    control, said = sync.dynamics.control, []
    sync.write("UPDATE lead SET job_title = :long WHERE lead_id = :key", key=keys[2], long=PERSONAL["jobtitle"] * 30)
    said.append(json.dumps(sync.reverse()))
    for fault in ("truncated-json", "html-200", "status-500", "token-expired-401", "drop-during"):
        sync.write(
            "UPDATE lead SET topic = :words WHERE lead_id = :key", key=keys[3], words=PERSONAL["jobtitle"] + fault
        )
        control.add_fault(fault, probability=1.0, match="$batch")
        said += messages(sync.reverse)
        control.clear_faults()
    with sync.open_database() as database, database.writing() as connection:
        refuse_name(connection, sync.database_url)
    sync.write("UPDATE lead_base SET crm_version = 0")
    sync.api("PATCH", f"leads({keys[3]})", {"lastname": PERSONAL["lastname"] + "!"}, **{"If-Match": "*"})
    return said + messages(lambda: sync.run("lead", mode="full"))


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
    return messages(lambda: sync.run("lead", mode="full"))


def messages(step: Callable[[], object]) -> list[str]:
    """Do a step in vain; return what the error and its causes say."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it must not tell
        step()
    said = []
    error: BaseException | None = caught.value
    while error is not None:
        said += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return said
