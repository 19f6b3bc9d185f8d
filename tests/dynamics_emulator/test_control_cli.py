"""The switchboard from a terminal, and the API behind it."""

import json
import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests

from dynamics_emulator.__main__ import main
from dynamics_emulator.control.examples import EXAMPLES
from dynamics_emulator.control.http import ORDERS, build_control_application
from dynamics_emulator.serving import bind, make_server
from dynamics_emulator.settings import Settings
from dynamics_emulator.signin.refusals import REFUSALS
from dynamics_emulator.testing_client import Call, Client

Run = Callable[..., int]


@pytest.fixture
def address(client: Client) -> Iterator[str]:
    """Where the control API of the client's organisation is."""
    with bind(0) as listener:
        server = make_server(build_control_application(client.emulator.control), None)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        assert server.ready.wait(30)
        yield f"http://localhost:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def control(address: str) -> Run:
    """Run the command with these words; returns its exit code."""
    return lambda *words: main(["control", "--url", address, *words])


@pytest.fixture
def leads(client: Client) -> Client:
    """A client of an organisation with six leads."""
    keys = [f"00000000-0000-4000-8000-{number:012d}" for number in range(6)]
    client.emulator.control.insert_rows("lead", [{"leadid": key, "lastname": key[-1]} for key in keys])
    return client


def test_faults_within_batches(client: Client, control: Run) -> None:
    assert control("fault", "add", "status-429", "--at", "2", "--match", "PATCH", "--in-batch") == 0
    assert control("fault", "add", "slow", "--in-batch") != 0
    calls = [Call("PATCH", f"leads({UUID(int=number, version=4)})", {"lastname": "x"}) for number in (1, 2, 3)]
    assert [answer.status for answer in client.batch(*calls)] == [204, 429, 204]


def test_faults(client: Client, control: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert control("fault", "add", "status-503", "--at", "2,3", "--match", "/leads") == 0
    assert control("fault", "add", "slow", "--probability", "0") == 0
    assert [client.get("leads").status_code for _ in range(4)] == [200, 503, 503, 200]
    capsys.readouterr()

    assert control("fault", "list") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [fault["name"] for fault in listed["faults"]] == ["slow"]
    assert "drop-before" in listed["available"]
    assert control("fault", "clear", "slow") == 0
    assert client.emulator.control.active_faults() == []


def test_settings(client: Client, control: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert control("set", "page_size=7", "read_only_columns=refuse", "in_operator_refused=false") == 0
    shown = json.loads(capsys.readouterr().out)

    settings = client.emulator.organisation.settings
    assert shown == {"page_size": 7, "read_only_columns": "refuse", "in_operator_refused": False}
    assert (settings.page_size, settings.read_only_columns, settings.in_operator_refused) == (7, "refuse", False)
    assert control("settings") == 0
    page_size = json.loads(capsys.readouterr().out)["page_size"]
    assert (page_size["value"], page_size["default"]) == (7, 5000)


def test_clock_and_tracking(client: Client, control: Run) -> None:
    clock = client.emulator.organisation.clock
    link = client.get("leads?$select=lastname", prefer="odata.track-changes").json()["@odata.deltaLink"]
    before = clock.now()

    assert control("clock", "advance", "1800") == 0
    assert 1800 <= (clock.now() - before).total_seconds() < 1860
    assert control("clock", "stop", "2026-03-01T08:00:00+00:00") == 0
    assert clock.now().isoformat() == "2026-03-01T08:00:00+00:00"
    assert control("clock", "resume") == 0
    assert client.get(link).status_code == 200
    assert control("tracking", "expire", "lead") == 0
    assert client.error("GET", link) == (400, "0x80044352")
    assert control("tracking", "disable", "lead") == 0
    assert client.error("GET", "leads?$select=lastname", prefer="odata.track-changes")[0] == 400
    assert control("tracking", "enable", "lead") == 0


def test_privileges_and_sign_in(client: Client, control: Run) -> None:
    assert control("privilege", "revoke", "lead", "Read") == 0
    assert client.error("GET", "leads") == (403, "0x80040220")
    assert control("privilege", "grant", "lead", "Read") == 0
    assert client.get("leads").status_code == 200
    assert control("sign-in", "refuse", "7000215") == 0
    assert control("sign-in", "clear") == 0


def test_schema(leads: Client, control: Run) -> None:
    assert control("column", "add", "lead", "acme_shoe", "String", "--facts", '{"length": 12}') == 0
    assert leads.create("leads", lastname="x", acme_shoe="brown")
    assert control("column", "rename", "lead", "acme_shoe", "acme_boot") == 0
    assert leads.rows("leads?$select=acme_boot&$filter=acme_boot eq 'brown'")[0]["acme_boot"] == "brown"
    assert control("column", "shorten", "lead", "acme_boot", "3") == 0
    assert leads.error("POST", "leads", json={"lastname": "x", "acme_boot": "brown"})[1] == "0x80044331"
    assert control("column", "retype", "lead", "acme_boot", "Integer") == 0
    assert leads.create("leads", lastname="x", acme_boot=42)
    assert control("column", "require", "lead", "acme_boot", "ApplicationRequired") == 0
    assert control("column", "drop", "lead", "acme_boot") == 0
    assert leads.error("GET", "leads?$select=acme_boot")[0] == 400
    assert control("key", "add", "lead", "acme_fax_key", "fax") == 0
    assert control("key", "status", "lead", "acme_fax_key", "Failed") == 0
    assert control("key", "remove", "lead", "acme_fax_key") == 0
    assert control("publish") == 0


def test_options(leads: Client, control: Run) -> None:
    def option() -> tuple[int, str]:
        address = leads.create("leads", lastname="x", leadsourcecode=777)
        row = leads.get(f"{address}?$select=leadsourcecode", prefer='odata.include-annotations="*"').json()
        return row["leadsourcecode"], row["leadsourcecode@OData.Community.Display.V1.FormattedValue"]

    assert control("option", "add", "lead", "leadsourcecode", "777", "Pigeon") == 0
    assert option() == (777, "Pigeon")
    assert control("option", "relabel", "lead", "leadsourcecode", "777", "Dove") == 0
    assert option() == (777, "Dove")
    assert control("option", "remove", "lead", "leadsourcecode", "777") == 0
    assert leads.error("POST", "leads", json={"lastname": "x", "leadsourcecode": 777})[1] == "0x8004431a"


def test_bulk_jobs(leads: Client, control: Run) -> None:
    link = leads.get("leads?$select=lastname", prefer="odata.track-changes").json()["@odata.deltaLink"]

    assert control("job", "run", "bulk-update", "lead", "--rows", "4") == 0
    updated = leads.get(link).json()
    assert control("job", "run", "bulk-delete", "lead", "--rows", "2") == 0
    deleted = leads.get(updated["@odata.deltaLink"]).json()["value"]

    versions = [int(row["@odata.etag"][3:-1]) for row in updated["value"]]
    assert [row["lastname"] for row in updated["value"]] == ["0", "1", "2", "3"]
    assert versions == list(range(versions[0], versions[0] + 4))
    assert [(row["id"][-1], row["reason"]) for row in deleted] == [("0", "deleted"), ("1", "deleted")]


def test_rules(leads: Client, control: Run) -> None:
    assert control("rule", "add", "lead", "lastname eq 'Ng'", "No Ng here") == 0

    refused = leads.call("POST", "leads", json={"lastname": "Ng"})
    assert control("rule", "clear") == 0

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "0x80040265")
    assert "No Ng here" in refused.json()["error"]["message"]
    assert leads.create("leads", lastname="Ng")


def test_status(leads: Client, control: Run, capsys: pytest.CaptureFixture[str]) -> None:
    leads.get("leads?$filter=lastname eq 'Ng'")

    assert control("status") == 0

    status = json.loads(capsys.readouterr().out)
    assert status["tables"]["lead"] == 6
    assert status["identity"]["url_name"] == "acme"
    assert status["last_requests"][0]["path"] == "/api/data/v9.2/leads?$filter"
    assert "Ng" not in str(status)


@pytest.mark.parametrize(
    "words",
    [
        ("column", "drop", "lead", "nothing"),
        ("column", "drop", "nothing", "fax"),
        ("set", "nothing=1"),
        ("set", "page_size=0"),
        ("fault", "add", "slow", "--at", "3", "--times", "2"),
        ("privilege", "revoke", "nothing", "Read"),
        ("environment", "refresh"),
        ("tracking", "expire", "leads"),
        ("option", "add", "lead", "subject", "1", "One"),
        ("option", "remove", "lead", "leadsourcecode", "4711"),
        ("option", "relabel", "lead", "leadsourcecode", "4711", "x"),
        ("column", "shorten", "lead", "budgetamount", "5"),
        ("column", "add", "lead", "acme_x", "String", "--facts", '{"lenght": 5}'),
        ("column", "add", "lead", "acme_x", "String", "--facts", '{"required": "Sometimes"}'),
        ("rule", "add", "lead", "lastname is Ng", "No"),
        ("rule", "add", "lead", "nothing eq 'Ng'", "No"),
        ("sign-in", "refuse", "nothing"),
        ("key", "add", "lead", "acme_x", "nothing"),
        ("job", "run", "bulk-update", "lead", "--rows", "0"),
        ("column", "drop", "lead", "leadid"),
        ("column", "rename", "lead", "versionnumber", "version"),
        ("column", "retype", "lead", "statecode", "String"),
        ("column", "drop", "systemuser", "applicationid"),
        ("clock", "advance", "1e308"),
        ("clock", "advance", "2.3e11"),
        ("clock", "stop", "9999-12-31T23:59:59Z"),
        ("clock", "stop", "2026-03-01T08:00:00"),
        ("set", "latency_milliseconds=600001"),
        ("set", "slow_milliseconds=1e9"),
    ],
)
def test_what_is_refused_is_told_and_not_done(
    client: Client, control: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    schema, settings = client.emulator.organisation.schema, client.emulator.organisation.settings
    before = client.emulator.organisation.clock.now()

    assert control(*words) == 1

    told = capsys.readouterr().err
    assert told.startswith("The switchboard refused it: ")
    assert told.endswith("Nothing was done.\n")
    assert "status 500" not in told
    assert client.emulator.organisation.schema is schema
    assert client.emulator.organisation.settings == settings
    assert 0 <= (client.emulator.organisation.clock.now() - before).total_seconds() < 60
    assert client.get("leads").status_code == 200
    assert client.emulator.control.active_faults() == []
    assert client.emulator.organisation.rules == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tracking", "expire", "leads"), "the table of this entity set is lead"),
        (("tracking", "expire", "laed"), "near it are: lead"),
        (("set", "page_sice=7"), "near it are: page_size"),
        (("sign-in", "refuse", "nothing"), "there is no refusal nothing"),
        (("option", "remove", "lead", "leadsourcecode", "777"), "there are: 1, 10, 2"),
        (("column", "add", "lead", "x", "String", "--facts", '{"lenght": 5}'), "near it are: length"),
    ],
)
def test_refusals_name_what_was_meant(
    control: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert control(*words) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("fault", "add", "slow", "--at", "abc"), "like 3,7"),
        (("column", "add", "lead", "x", "String", "--facts", "abc"), "is no JSON object"),
        (("column", "add", "lead", "x", "Text"), "'MultiSelectPicklist'"),
        (("column", "require", "lead", "fax", "Sometimes"), "'Recommended'"),
        (("privilege", "revoke", "lead", "Look"), "'AppendTo'"),
        (("privilege", "grant", "lead", "Read", "--depth", "Big"), "'Deep'"),
    ],
)
def test_words_that_no_verb_takes(
    control: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        control(*words)
    assert told in capsys.readouterr().err


def test_requests_are_numbered_in_both_forms(client: Client, control: Run) -> None:
    assert control("fault", "add", "status-503", "--at", "2", "4", "--match", "/leads") == 0
    assert control("fault", "add", "status-500", "--at", "1,3") == 0
    assert [fault["at"] for fault in client.emulator.control.active_faults()] == [[2, 4], [1, 3]]


def test_settings_are_put_back(client: Client, control: Run) -> None:
    def settings() -> Settings:
        return client.emulator.organisation.settings

    assert control("set", "page_size=7", "refresh_changes=organization_id, url_name", "count_limit=9") == 0
    assert settings().refresh_changes == ("organization_id", "url_name")
    assert control("set", "token_lifetime_seconds=60", "copy_changes=") == 0
    assert settings().copy_changes == ()
    assert control("set", "token_lifetime_seconds=none", "page_size=default") == 0
    assert (settings().token_lifetime_seconds, settings().page_size, settings().count_limit) == (None, 5000, 9)
    assert control("reset", "count_limit") == 0
    assert settings().count_limit == 5000
    assert settings() != Settings()
    assert control("reset") == 0
    assert settings() == Settings()


@pytest.mark.parametrize(
    ("url", "told"), [("localhost:8444", "begins with http://"), ("https://localhost:8443", "Web API")]
)
def test_addresses_that_are_no_switchboard(capsys: pytest.CaptureFixture[str], url: str, told: str) -> None:
    assert main(["control", "--url", url, "status"]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("verb", EXAMPLES)
def test_help_of_each_verb_has_an_example_that_is_taken(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["control", *verb.split(), "--help"])
    assert f"control {EXAMPLES[verb]}" in capsys.readouterr().out
    # It is understood; only nobody is there to do it.
    assert main(["control", "--url", "http://localhost:1", *shlex.split(EXAMPLES[verb])]) == 1


def test_help_lists_the_refusals_of_sign_in(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["control", "sign-in", "refuse", "--help"])
    told = capsys.readouterr().out
    assert all(name in told for name in REFUSALS)


def test_address_comes_from_the_folder(
    address: str, client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DYNAMICS_CONTROL_URL", raising=False)
    words = ["control", "--folder", str(tmp_path), "set", "page_size=9"]

    assert main(words) == 1
    (tmp_path / "connection.json").write_text(json.dumps({"control_url": None}), encoding="utf-8")
    assert main(words) == 1
    (tmp_path / "connection.json").write_text(json.dumps({"control_url": "http://localhost:1"}), encoding="utf-8")
    assert main(words) == 1
    assert client.emulator.organisation.settings.page_size == 5000
    (tmp_path / "connection.json").write_text(json.dumps({"control_url": address}), encoding="utf-8")
    assert main(words) == 0

    assert client.emulator.organisation.settings.page_size == 9
    told = capsys.readouterr().err.splitlines()
    assert [line.split(".")[0] for line in told] == [
        "No control API is known",
        "No control API is known",
        "Nothing answers at http://localhost:1",
    ]


def test_privilege_without_a_table_is_explained(address: str) -> None:
    answer = requests.post(f"{address}/privileges", json={}, timeout=5)

    assert (answer.status_code, answer.json()) == (400, {"error": "the privilege Read belongs to a table; name one"})


@pytest.mark.parametrize(
    ("media_type", "status"),
    [("application/json", 200), ("Application/JSON; charset=utf-8", 200), ("application/jsonx", 415), ("", 415)],
)
def test_an_order_is_declared_as_json(address: str, media_type: str, status: int) -> None:
    headers = {"Content-Type": media_type}

    assert requests.post(f"{address}/publish", data="{}", headers=headers, timeout=5).status_code == status


@pytest.mark.parametrize("path", ORDERS)
def test_each_order_refuses_a_browser_and_unknown_words(address: str, path: str) -> None:
    def post(**options: Any) -> int:
        return requests.post(f"{address}{path}", timeout=5, **options).status_code

    assert post(data="{}") == 415
    assert post(json={"n0thing": 1}) == 400
    assert post(json={}, headers={"Host": "elsewhere.example"}) == 400
