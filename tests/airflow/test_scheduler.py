"""The DAGs in a real Airflow: scheduled, triggered by hand, backfilled, wrong, killed."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from dynamics_demo.entities import REVERSE, Entity
from dynamics_demo.rounds import rest
from dynamics_sync.dag_factory import MODES

DOCS = Path(__file__).parents[2] / "docs"

_BROWSER_PATIENCE = 120_000  # milliseconds


# --- scheduled ---------------------------------------------------------------------------------------


def test_a_dag_that_is_unpaused_runs_by_itself(site: Any, first_copy: dict[str, Any]) -> None:
    assert first_copy["run_type"] == "scheduled"
    assert all(task["try_number"] == 1 for task in site.tasks(first_copy))
    counts = site.sync_run(first_copy)
    compared = site.compare("lead")
    assert compared.rows > 400
    assert compared.differences == ()
    assert compared.quarantined == 1
    assert (counts["mode"], counts["state"]) == ("changes", "success")
    assert (counts["inserted"], counts["rejected"]) == (compared.rows, 1)
    assert site.watermark_is_of_a_changes_run("lead")


# --- killed ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def killed(site: Any, first_copy: Any) -> dict[str, Any]:
    """An extract that was killed while it waited for its second page, as Airflow listed it before."""
    site.control("/settings", slow_milliseconds=60_000)
    site.control("/faults", name="slow", match=SECOND_PAGE_OF_CONTACTS)
    site.airflow.unpause("dynamics_contact")
    victim: dict[str, Any] = site.wait_for(lambda: extract_between_two_pages(site), "an extract that waits for a page")
    site.worker(victim["pid"]).kill()
    return victim


#: Stands in the links to contacts' further pages only: the paging cookie names the key, encoded twice.
SECOND_PAGE_OF_CONTACTS = "contactid%2520last"


def extract_between_two_pages(site: Any) -> dict[str, Any] | None:
    """The one extract that still runs, once it has staged a page; Dynamics lets it wait for the next."""
    for run in site.runs("dynamics_contact", "scheduled"):
        extracts = [task for task in site.tasks(run) if task["task_id"] == "slice.extract"]
        waiting = [task for task in extracts if task["state"] != "success"]
        if len(extracts) > 1 and len(waiting) == 1 and waiting[0]["pid"] and "Page 1: " in site.log(waiting[0], 1):
            return dict(waiting[0])
    return None


def same_task(site: Any, task: dict[str, Any]) -> dict[str, Any]:
    """Return what a task has become meanwhile."""
    words = ("task_id", "map_index")
    (found,) = (now for now in site.tasks(task) if [now[word] for word in words] == [task[word] for word in words])
    return dict(found)


def test_airflow_notices_a_killed_task(site: Any, killed: dict[str, Any]) -> None:
    # It tries again after 20 to 40 seconds; the tests that follow run meanwhile, and the last but one looks at the end.
    site.wait_for(lambda: same_task(site, killed)["state"] == "up_for_retry", "that Airflow will try the task again")


# --- told to wait ------------------------------------------------------------------------------------

#: Stands in what one run reads and no other: how many rows its window has, its first page, its second.
END_OF_TIME, SECOND_PAGE = "2100-01-01", 3


@pytest.fixture
def impatient(site: Any) -> Iterator[None]:
    """Let Dynamics ask for waits that are longer than a worker may stand still."""
    held = site.variable("dynamics_sync")
    site.set_variable("dynamics_sync", json.dumps(json.loads(held) | {"longest_wait_seconds": 2}))
    site.control("/settings", retry_after_seconds=6)
    yield
    site.control("/settings", retry_after_seconds=5)
    site.set_variable("dynamics_sync", held)
    # The tests that follow need not wait for quiet minutes.
    site.marketing.write("UPDATE sync_api_limit SET allowed = hint", [])


def test_a_long_retry_after_frees_the_worker_and_uses_up_no_try(site: Any, first_copy: Any, impatient: None) -> None:
    window = ("2000-01-01T00:00:00Z", f"{END_OF_TIME}T00:00:00Z")
    expected = site.modified_between("lead", *window)
    site.control("/faults", name="status-429", match=END_OF_TIME, at=[SECOND_PAGE])
    run = site.trigger("dynamics_lead", mode="window", window_start=window[0], window_end=window[1])

    def deferred() -> dict[str, Any] | None:
        return next((task for task in site.tasks(run) if task["state"] == "deferred"), None)

    waiting: dict[str, Any] = site.wait_for(deferred, "an extract that is deferred")
    assert (waiting["task_id"], waiting["map_index"], waiting["try_number"]) == ("slice.extract", 0, 1)
    row = site.sync_run(run)
    assert (row["state"], row["error_code"], row["finished_at"]) == ("waiting", "DS-302", None)
    # The worker has ended, and the pool counts the task among those that wait elsewhere.
    assert site.get("/pools/dynamics_api")["deferred_slots"] >= 1
    assert not site.get("/pools/dynamics_api")["include_deferred"]
    site.succeeded(run)
    done = same_task(site, waiting)
    assert (done["state"], done["try_number"]) == ("success", 1)
    log = site.log(done, 1)
    assert "Going on after page 1; " in log
    assert "The task waits for 6 seconds without a worker. DS-302 " in log
    counts = site.sync_run(run)
    assert (counts["state"], counts["error_code"], counts["read_rows"]) == ("success", None, expected)
    assert expected > 400
    (limit,) = site.marketing.rows("SELECT * FROM sync_api_limit")
    assert limit["hint"] == 4
    assert limit["lowered_at"] is not None
    asked = site.marketing.rows("SELECT * FROM sync_api_use WHERE dag_id = 'dynamics_lead' AND throttled = 1")
    assert [row["requests"] > 10 for row in asked] == [True]
    places = [row["holder"] for row in site.marketing.rows("SELECT * FROM sync_api_place")]
    assert [holder for holder in places if run["dag_run_id"] in holder] == []


# --- triggered ---------------------------------------------------------------------------------------


def test_a_window_is_read_and_leaves_the_watermark_alone(site: Any, first_copy: Any) -> None:
    window = ("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z")
    run = site.trigger("dynamics_lead", mode="window", window_start=window[0], window_end=window[1])
    site.succeeded(run)
    counts = site.sync_run(run)
    expected = site.modified_between("lead", *window)
    assert (counts["mode"], counts["read_rows"]) == ("window", expected)
    assert 0 < expected < 400
    assert site.watermark_is_of_a_changes_run("lead")


def test_parameters_that_contradict_each_other_fail_at_once(site: Any, copied_accounts: Any) -> None:
    run = site.trigger("dynamics_account", mode="window", window_start="2024-03-01T00:00:00Z")
    assert site.finished(run)["state"] == "failed"
    tasks = {task["task_id"]: task for task in site.tasks(run)}
    assert (tasks["begin"]["state"], tasks["begin"]["try_number"]) == ("failed", 1)
    assert tasks["finish"]["state"] == "upstream_failed"
    said = "DS-104 a window needs window_start before window_end. Nothing was read."
    assert said in site.log(tasks["begin"], 1)
    row = site.sync_run(run)
    assert (row["state"], row["error_code"], row["read_rows"]) == ("failed", "DS-104", 0)


# --- written to Dynamics, and killed meanwhile ---------------------------------------------------------

#: Values that stand nowhere but in rows that are written to Dynamics.
TITLES = ("Zuckerwattendreherin", "Purkkaviritelmä")


@pytest.fixture(scope="module")
def edited(site: Any, killed: Any) -> list[str]:
    """A lead that was edited with SQL."""
    keys: list[str] = site.open_leads(1)
    site.entitle(keys, TITLES[0])
    return keys


@pytest.fixture(scope="module")
def stuck(site: Any, edited: list[str]) -> dict[str, Any]:
    """The task that has written the edited lead and did not come to record it, as it was killed."""

    def writing() -> dict[str, Any] | None:
        if site.titles(edited) != {TITLES[0]}:
            return None
        tasks = [task for run in site.runs(REVERSE.dag_id, "asset_triggered") for task in site.tasks(run)]
        (found,) = (task for task in tasks if task["task_id"] == "apply" and task["state"] == "running")
        return dict(found)

    with site.hold_history(edited[0]) as history:
        site.airflow.unpause(REVERSE.dag_id)
        site.trigger("dynamics_lead", mode="ids", ids=edited[0])
        victim: dict[str, Any] = site.wait_for(writing, "a title that is written to Dynamics")
        site.worker(victim["pid"]).kill()
        history.rollback()
    return victim


def test_a_run_that_copies_brings_about_one_that_writes(site: Any, stuck: dict[str, Any]) -> None:
    # It is tried again after 20 to 40 seconds, while the tests that follow run.
    site.wait_for(lambda: same_task(site, stuck)["state"] == "up_for_retry", "that Airflow will try the task again")


# --- the connection form -----------------------------------------------------------------------------


def test_the_button_test_of_the_connection_form(site: Any) -> None:
    worked, text = press_test(site, site.connection["client_secret"])
    assert worked, text
    assert re.fullmatch(r"Connected to Acme \(local\) \(localhost:\d+\) as application user [0-9a-f-]{36}", text)


def test_the_button_test_with_a_wrong_secret(site: Any) -> None:
    worked, text = press_test(site, "Bananenbieger-4711")
    assert not worked
    assert text.startswith("DS-201 ")
    assert "Bananenbieger" not in text
    assert site.connection["client_secret"] not in text


def press_test(site: Any, secret: str) -> tuple[bool, str]:
    """Do what the button does: send the whole form, of a connection that need not be saved."""
    held = site.get("/connections/dynamics_default")
    form = {word: held[word] for word in ("conn_type", "host", "port", "login", "extra")}
    body = form | {"connection_id": "dynamics_new", "password": secret}
    answer = site.airflow.call("POST", "/connections/test", json=body).json()
    return answer["status"], answer["message"]


# --- backfill ----------------------------------------------------------------------------------------


def test_a_backfill_reads_its_intervals_exactly(site: Any, copied_accounts: Any) -> None:
    modified = ["2024-03-05T10:00:00Z", "2024-03-05T10:04:59Z", "2024-03-05T10:05:00Z", "2024-03-05T10:14:59Z"]
    keys = [row["accountid"] for row in site.dynamics.rows("account", ("accountid",), "statecode eq 0")]
    placed = dict(zip(keys, modified, strict=False))
    for key, instant in placed.items():
        site.control("/raw", table="account", id=key, values={"modifiedon": instant})
    run_airflow(
        site,
        *("backfill", "create", "--dag-id", "dynamics_account", "--run-backwards"),
        *("--from-date", "2024-03-05T10:00:00+00:00", "--to-date", "2024-03-05T10:10:00+00:00"),
    )
    runs = site.runs("dynamics_account", "backfill")
    intervals = sorted((run["data_interval_start"], run["data_interval_end"]) for run in runs)
    edges = [f"2024-03-05T10:{minute:02}:00Z" for minute in (0, 5, 10, 15)]
    assert intervals == list(pairwise(edges))
    assert [site.modified_between("account", *interval) for interval in intervals] == [2, 1, 1]
    for run in runs:
        site.succeeded(run)
        counts = site.sync_run(run)
        expected = site.modified_between("account", run["data_interval_start"], run["data_interval_end"])
        assert (counts["mode"], counts["read_rows"]) == ("backfill", expected)
    held = {str(row["account_id"]): row["modified_at"] for row in site.marketing.rows("SELECT * FROM account")}
    assert {key: held[key].astimezone(UTC) for key in placed} == {
        key: datetime.fromisoformat(instant) for key, instant in placed.items()
    }
    assert site.watermark_is_of_a_changes_run("account")


def run_airflow(site: Any, *arguments: str) -> None:
    """Run `airflow …` as in a terminal."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("airflow")), *arguments],
        env=site.environment(),
        cwd=site.services.installation.project,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- in the browser ----------------------------------------------------------------------------------


@pytest.fixture
def page(site: Any) -> Iterator[Page]:
    """A page of a real browser, signed in as `admin`."""
    browser = shutil.which("chromium")
    assert browser, "apt-get install chromium"
    switches = (
        "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        " --disable-component-update --disable-sync"
    )
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=switches.split())
        opened = chromium.new_page(viewport={"width": 1400, "height": 900})
        opened.set_default_timeout(_BROWSER_PATIENCE)
        opened.goto(site.airflow.address)
        opened.fill("input[name=username]", "admin")
        opened.fill("input[name=password]", site.password)
        opened.get_by_role("button", name="Sign in").click()
        opened.wait_for_url(lambda url: "/auth/login" not in url)
        yield opened
        chromium.close()


def test_named_records_from_the_trigger_form(site: Any, first_copy: Any, page: Page) -> None:
    ids = [row["leadid"] for row in site.dynamics.rows("lead", ("leadid",), "statecode eq 0")][:2]
    before = [run["dag_run_id"] for run in site.runs("dynamics_lead", "manual")]
    page.goto(f"{site.airflow.address}/dags/dynamics_lead")
    form = open_trigger_form(page)
    keep_screenshot(page, "airflow-trigger-form.png", height=1240)
    choose_mode(form, "ids")
    form.locator("textarea[name=element_ids]").fill("\n".join(ids))
    form.get_by_role("button", name="Trigger").click()
    (run,) = site.wait_for(
        lambda: [run for run in site.runs("dynamics_lead", "manual") if run["dag_run_id"] not in before],
        "the triggered run",
    )
    site.succeeded(run)
    counts = site.sync_run(run)
    assert (counts["mode"], counts["read_rows"], counts["unchanged"]) == ("ids", 2, 2)
    assert site.watermark_is_of_a_changes_run("lead")


def test_the_grid_names_the_slices(site: Any, first_copy: Any, page: Page) -> None:
    run = f"{site.airflow.address}/dags/dynamics_lead/runs/{first_copy['dag_run_id']}"
    page.goto(f"{run}/tasks/slice.extract/mapped")
    page.get_by_role("button", name="Expand all task groups").click()
    for number in range(1, 5):
        expect(page.get_by_text(f"{number} of 4: createdon")).to_be_visible(timeout=_BROWSER_PATIENCE)
    for task in ("begin", "extract", "transform", "load", "finish"):
        expect(page.get_by_text(re.compile(rf"^{task}( \[ \])?$")).first).to_be_visible(timeout=_BROWSER_PATIENCE)
    keep_screenshot(page, "airflow-grid.png")


def open_trigger_form(page: Page) -> Locator:
    """Open the form and see that each parameter is there."""
    page.get_by_role("button", name="Trigger Dag").click()
    form = page.get_by_role("dialog")
    for label in ("What to read", "Window start", "Window end", "Record ids", "Allow many deletions"):
        expect(form.get_by_text(label, exact=False).first).to_be_visible(timeout=_BROWSER_PATIENCE)
    return form


def choose_mode(form: Locator, mode: str) -> None:
    """Choose from the list, after a look at what it offers."""
    form.locator("#element_mode").get_by_role("combobox").click()
    options = form.get_by_role("option")
    expect(options).to_have_text([re.compile(rf"\({each}\)$") for each in MODES])
    options.filter(has_text=re.compile(rf"\({mode}\)$")).click()


def keep_screenshot(page: Page, name: str, *, height: int = 900) -> None:
    """Renew a picture of the documentation, when asked to."""
    if os.environ.get("UPDATE_SCREENSHOTS") == "1":
        page.set_viewport_size({"width": 1400, "height": height})
        page.screenshot(path=DOCS / name, animations="disabled")


# --- what has become of all that ---------------------------------------------------------------------


def test_the_killed_extract_went_on_where_it_stopped(site: Any, killed: dict[str, Any]) -> None:
    site.succeeded(killed)
    again = same_task(site, killed)
    assert (again["state"], again["try_number"]) == ("success", 2)
    assert "Going on after page 1; " in site.log(again, 2)
    compared = site.compare("contact")
    assert compared.rows > 400
    assert (compared.differences, compared.quarantined) == ((), 0)


def test_the_killed_write_was_tried_again_and_is_done_once(site: Any, edited: list[str], stuck: dict[str, Any]) -> None:
    site.succeeded(stuck)
    assert same_task(site, stuck)["try_number"] == 2
    assert site.titles(edited) == {TITLES[0]}
    counts = site.reverse_run(stuck)
    assert (counts["state"], counts["read_rows"], counts["updated"] + counts["unchanged"]) == ("success", 1, 1)
    written = site.marketing.rows("SELECT * FROM sync_history WHERE side = 'dynamics' AND record_id = ?", edited)
    assert [(row["column_name"], row["new_value"]) for row in written] == [("job_title", TITLES[0])]


# --- a plan, and who approves it -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(site: Any, stuck: Any, killed: Any) -> Iterator[list[str]]:
    """More edited leads than may be written unseen, while no run comes about by itself."""
    for run in (stuck, killed):
        site.finished(run)
    with rest(site.airflow, [Entity(name, name, name, "", "", ()) for name in ("lead", "contact")]):
        site.wait_for(lambda: not site.airflow.is_busy(REVERSE.dag_id), "the end of what runs")
        keys: list[str] = site.open_leads(3)
        site.entitle(keys, TITLES[1])
        yield keys


@pytest.fixture(scope="module")
def dry_run(site: Any, many: list[str]) -> dict[str, Any]:
    """A dry run of the edits, which has ended well."""
    found: dict[str, Any] = site.succeeded(site.trigger(REVERSE.dag_id, dry_run=True))
    return found


def test_a_dry_run_ends_after_its_plan(site: Any, many: list[str], dry_run: dict[str, Any]) -> None:
    states = {"collect": "success", "plan": "success", "approve": "success", "apply": "skipped", "record": "success"}
    assert site.states(dry_run) == states
    assert TITLES[1] not in site.titles(many)
    counts = site.reverse_run(dry_run)
    assert (counts["mode"], counts["read_rows"], counts["postponed"]) == ("changes, dry run", 3, 3)
    rows = list(site.marketing.rows("SELECT * FROM sync_plan WHERE run_id = ?", [dry_run["dag_run_id"]]))
    assert {(str(row["record_id"]), row["new_value"]) for row in rows} == {(key, TITLES[1]) for key in many}


def test_a_large_plan_is_refused_and_the_next_run_asks_again(site: Any, many: list[str], dry_run: Any) -> None:
    run = site.trigger(REVERSE.dag_id)
    request = site.request(run)
    assert request["subject"] == "Write 3 records to Dynamics?"
    assert "| lead | update | 3 | 3 |" in request["body"]
    assert f"run_id = '{run['dag_run_id']}'" in request["body"]
    assert TITLES[1] not in str(request)
    site.decide(run, "Reject")
    site.finished(run)
    states = {"collect": "success", "plan": "success", "approve": "success", "apply": "skipped", "record": "skipped"}
    assert site.states(run) == states
    counts = site.reverse_run(run)
    assert (counts["state"], counts["error_code"]) == ("failed", "DS-709")
    assert TITLES[1] not in site.titles(many)
    again = site.trigger(REVERSE.dag_id)
    assert site.request(again)["subject"] == request["subject"]


def test_a_large_plan_is_approved_and_carried_out(site: Any, many: list[str], dry_run: Any) -> None:
    (run,) = (run for run in site.runs(REVERSE.dag_id, "manual") if run["state"] not in {"success", "failed"})
    site.decide(run, "Approve")
    site.succeeded(run)
    assert site.titles(many) == {TITLES[1]}
    counts = site.reverse_run(run)
    assert (counts["state"], counts["read_rows"], counts["updated"]) == ("success", 3, 3)
    assert site.compare("lead").differences == ()


def test_housekeeping_removes_old_plans_only(site: Any, dry_run: dict[str, Any]) -> None:
    old = "UPDATE sync_plan SET planned_at = '2020-02-20 20:20:20' WHERE run_id = ?"
    assert site.marketing.write(old, [dry_run["dag_run_id"]]) == 3
    before = site.marketing.number("SELECT count(*) FROM sync_plan")
    site.airflow.unpause("dynamics_operations")
    site.succeeded(site.trigger("dynamics_operations"))
    assert site.marketing.number("SELECT count(*) FROM sync_plan") == before - 3


def test_no_record_and_no_secret_stands_in_logs_or_xcoms(site: Any, first_copy: Any, personal: dict[str, str]) -> None:
    runs = [run for run in site.get("/dags/~/dagRuns", limit=100)["dag_runs"] if run["state"] in {"success", "failed"}]
    said = [site.xcoms(run) for run in runs]
    said += [site.logs(run) for run in runs]
    said += [path.read_text(errors="replace") for path in site.log_files()]
    text = "\n".join(said)
    assert "Page 1: 60 rows" in text  # Something was said, but not what rows hold.
    addresses = {
        row["emailaddress1"] for table in ("lead", "contact") for row in site.dynamics.rows(table, ("emailaddress1",))
    } - {None}
    assert len(addresses) > 100
    words = {*TITLES, *personal.values(), *addresses, site.connection["client_secret"], "Bearer ey"}
    assert {word for word in words if word in text} == set()
