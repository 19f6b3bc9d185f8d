"""The DAGs in a real Airflow: scheduled, triggered by hand, backfilled, wrong, killed."""

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

DOCS = Path(__file__).parents[2] / "docs"

_BROWSER_PATIENCE = 120_000  # milliseconds


# --- scheduled ---------------------------------------------------------------------------------------


def test_a_dag_that_is_unpaused_runs_by_itself(site: Any, personal: dict[str, str]) -> None:
    run = site.copied("lead")
    assert run["run_type"] == "scheduled"
    assert all(task["try_number"] == 1 for task in site.tasks("dynamics_lead", run["dag_run_id"]))
    counts = site.sync_run("lead", run["dag_run_id"])
    compared = site.compare("lead")
    assert compared.rows > 400
    assert compared.differences == ()
    assert compared.quarantined == 1
    assert (counts["mode"], counts["state"]) == ("changes", "success")
    assert (counts["inserted"], counts["rejected"]) == (compared.rows, 1)
    assert site.watermark_is_of_a_changes_run("lead")


# --- triggered ---------------------------------------------------------------------------------------


def test_a_window_is_read_and_leaves_the_watermark_alone(site: Any) -> None:
    site.copied("lead")
    window = ("2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z")
    run_id = site.trigger("dynamics_lead", mode="window", window_start=window[0], window_end=window[1])
    site.succeeded("dynamics_lead", run_id)
    counts = site.sync_run("lead", run_id)
    expected = site.modified_between("lead", *window)
    assert (counts["mode"], counts["read_rows"]) == ("window", expected)
    assert 0 < expected < 400
    assert site.watermark_is_of_a_changes_run("lead")


def test_parameters_that_contradict_each_other_fail_at_once(site: Any) -> None:
    site.copied("account")
    run_id = site.trigger("dynamics_account", mode="window", window_start="2024-03-01T00:00:00Z")
    assert site.finished("dynamics_account", run_id)["state"] == "failed"
    tasks = {task["task_id"]: task for task in site.tasks("dynamics_account", run_id)}
    assert (tasks["begin"]["state"], tasks["begin"]["try_number"]) == ("failed", 1)
    assert tasks["finish"]["state"] == "upstream_failed"
    said = "DS-104 a window needs window_start before window_end. Nothing was read."
    assert said in site.log(tasks["begin"], 1)
    row = site.sync_run("account", run_id)
    assert (row["state"], row["error_code"], row["read_rows"]) == ("failed", "DS-104", 0)


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


def test_a_backfill_reads_its_intervals_exactly(site: Any) -> None:
    site.copied("account")
    modified = ["2024-03-05T10:00:00Z", "2024-03-05T10:04:59Z", "2024-03-05T10:05:00Z", "2024-03-05T10:14:59Z"]
    keys = [row["accountid"] for row in site.dynamics.rows("account", ("accountid",), "statecode eq 0")]
    placed = dict(zip(keys, modified, strict=False))
    for key, instant in placed.items():
        site.control("POST", "/raw", table="account", id=key, values={"modifiedon": instant})
    before = {run["dag_run_id"] for run in site.runs("dynamics_account", "backfill")}
    run_airflow(
        site,
        *("backfill", "create", "--dag-id", "dynamics_account", "--run-backwards"),
        *("--from-date", "2024-03-05T10:00:00+00:00", "--to-date", "2024-03-05T10:10:00+00:00"),
    )
    runs = [run for run in site.runs("dynamics_account", "backfill") if run["dag_run_id"] not in before]
    intervals = sorted((run["data_interval_start"], run["data_interval_end"]) for run in runs)
    edges = [f"2024-03-05T10:{minute:02}:00Z" for minute in (0, 5, 10, 15)]
    assert intervals == list(pairwise(edges))
    assert [site.modified_between("account", *interval) for interval in intervals] == [2, 1, 1]
    for run in runs:
        site.succeeded("dynamics_account", run["dag_run_id"])
        counts = site.sync_run("account", run["dag_run_id"])
        expected = site.modified_between("account", run["data_interval_start"], run["data_interval_end"])
        assert (counts["mode"], counts["read_rows"]) == ("backfill", expected)
    held = {row["account_id"]: row["modified_at"] for row in site.marketing.rows("SELECT * FROM account")}
    assert {str(key): held[key].astimezone(UTC) for key in placed} == {
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


# --- killed ------------------------------------------------------------------------------------------


def test_a_killed_extract_goes_on_where_it_stopped(site: Any) -> None:
    site.control("POST", "/settings", slow_milliseconds=20_000)
    site.control("POST", "/faults", name="slow", probability=1, match="skiptoken")
    site.unpause("dynamics_contact")
    victim = site.wait_for(lambda: extract_between_two_pages(site), "an extract that has staged its first page")
    site.worker(victim["pid"]).kill()
    site.control("DELETE", "/faults")
    site.succeeded("dynamics_contact", victim["dag_run_id"])
    (again,) = (
        task
        for task in site.tasks("dynamics_contact", victim["dag_run_id"])
        if (task["task_id"], task["map_index"]) == (victim["task_id"], victim["map_index"])
    )
    assert again["try_number"] == 2
    assert "Going on after page 1; " in site.log(again, 2)
    compared = site.compare("contact")
    assert compared.rows > 400
    assert (compared.differences, compared.quarantined) == ((), 0)


def extract_between_two_pages(site: Any) -> dict[str, Any] | None:
    """A task that has staged a page, and waits for Dynamics to give the next."""
    for run in site.runs("dynamics_contact", "scheduled"):
        for task in site.tasks("dynamics_contact", run["dag_run_id"]):
            is_extract = task["task_id"] == "slice.extract" and task["state"] == "running"
            if is_extract and task["pid"] and "Page 1: " in site.log(task, 1):
                return dict(task)
    return None


# --- secrecy -----------------------------------------------------------------------------------------


def test_no_record_and_no_secret_stands_in_logs_or_xcoms(site: Any, personal: dict[str, str]) -> None:
    site.copied("lead")
    runs = [run for run in site.get("/dags/~/dagRuns", limit=100)["dag_runs"] if run["state"] in {"success", "failed"}]
    said = [site.xcoms(run["dag_id"], run["dag_run_id"]) for run in runs]
    said += [site.logs(run["dag_id"], run["dag_run_id"]) for run in runs]
    said += [path.read_text(errors="replace") for path in site.log_files()]
    text = "\n".join(said)
    assert "DS-422" in text or "rejected" in text  # The row that could not be applied was spoken of,
    addresses = {
        row["emailaddress1"] for table in ("lead", "contact") for row in site.dynamics.rows(table, ("emailaddress1",))
    } - {None}
    assert len(addresses) > 100
    words = {*personal.values(), *addresses, site.connection["client_secret"], "Bearer ey"}
    assert {word for word in words if word in text} == set()  # but not of what it holds.


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


def test_named_records_from_the_trigger_form(site: Any, page: Page) -> None:
    site.copied("lead")
    ids = [row["leadid"] for row in site.dynamics.rows("lead", ("leadid",), "statecode eq 0")][:2]
    before = {run["dag_run_id"] for run in site.runs("dynamics_lead", "manual")}
    page.goto(f"{site.airflow.address}/dags/dynamics_lead")
    form = open_trigger_form(page)
    keep_screenshot(page, "airflow-trigger-form.png")
    choose_mode(form, "ids")
    form.locator("textarea[name=element_ids]").fill("\n".join(ids))
    form.get_by_role("button", name="Trigger").click()
    (run_id,) = site.wait_for(
        lambda: {run["dag_run_id"] for run in site.runs("dynamics_lead", "manual")} - before, "the triggered run"
    )
    site.succeeded("dynamics_lead", run_id)
    counts = site.sync_run("lead", run_id)
    assert (counts["mode"], counts["read_rows"], counts["unchanged"]) == ("ids", 2, 2)
    assert site.watermark_is_of_a_changes_run("lead")


def test_the_grid_names_the_slices(site: Any, page: Page) -> None:
    first = site.copied("lead")["dag_run_id"]
    page.goto(f"{site.airflow.address}/dags/dynamics_lead/runs/{first}/tasks/slice.extract/mapped")
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
    expect(form.get_by_role("option")).to_have_text(["changes", "full", "window", "ids", "quarantine"])
    form.get_by_role("option", name=mode).click()


def keep_screenshot(page: Page, name: str) -> None:
    """Renew a picture of the documentation, when asked to."""
    if os.environ.get("UPDATE_SCREENSHOTS") == "1":
        page.screenshot(path=DOCS / name, animations="disabled")
