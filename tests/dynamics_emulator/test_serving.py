"""The command: it announces itself, answers, is controlled over HTTP, keeps its data, and stops cleanly."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import requests

from dynamics_emulator.connecting import beside_python, connection_to, recipes
from dynamics_emulator.identity import CLIENT_ID, TENANT_ID
from dynamics_emulator.launch import Launch, Progress, say_what_is_held

LAST_LINE = "These credentials"


@contextmanager
def _serving(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "dynamics_emulator", "serve", "--folder", str(folder), "--port", "0", *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        for line in process.stdout:
            if line.startswith(LAST_LINE):
                break
        yield process, json.loads((folder / "connection.json").read_text(encoding="utf-8"))
    finally:
        process.kill()
        process.communicate()


def _token(about: dict[str, Any]) -> str:
    form = {
        "client_id": about["client_id"],
        "client_secret": about["client_secret"],
        "grant_type": "client_credentials",
        "scope": f"{about['url']}/.default",
    }
    answer = requests.post(f"{about['authority']}/oauth2/v2.0/token", data=form, verify=about["ca_file"], timeout=10)
    token: str = answer.json()["access_token"]
    return token


def _get(about: dict[str, Any], path: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {_token(about)}"}
    return requests.get(f"{about['url']}/api/data/v9.2/{path}", headers=headers, verify=about["ca_file"], timeout=10)


def test_serves_says_where_and_stops_on_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with _serving(tmp_path, "--rows", "100") as (process, about):
        first = _get(about, "leads/$count").text
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=15)

    assert (about["tenant_id"], about["client_id"]) == (TENANT_ID, CLIENT_ID)
    assert about["control_url"] is None
    assert int(first) > 20
    assert (process.returncode, errors) == (0, ""), output
    with _serving(tmp_path, "--rows", "100") as (_, about):
        assert _get(about, "leads/$count").text == first


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dynamics_emulator", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_recipes_work_as_they_are_printed(tmp_path: Path) -> None:
    with _serving(tmp_path, "--rows", "60", "--control-port", "0") as (_, about):
        url, key_folder = about["url"], str(Path(about["ca_file"]).parent)
        found = {recipe.title: recipe.code for recipe in recipes(connection_to(url, key_folder, about["control_url"]))}
        curl = subprocess.run(["bash", "-c", found["curl"]], capture_output=True, text=True, timeout=30, check=True)
        # As pasted at a prompt: a line at a time.
        prompt, lines = [sys.executable, "-i"], found["Python SDK"] + "\n"
        sdk = subprocess.run(prompt, input=lines, capture_output=True, text=True, timeout=60, check=False)
        controlled = subprocess.run(
            ["bash", "-c", found["Switchboard"]],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip

    assert len(json.loads(curl.stdout)["value"]) == 3
    assert sdk.stdout.split("\n")[:3] == [row["lastname"] for row in json.loads(curl.stdout)["value"]], sdk.stderr
    assert "export" not in found["curl"]
    assert '"name": "status-429"' in controlled.stdout


def test_prints_how_to_connect_and_how_far_it_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dynamics_emulator", "serve", "--folder", str(tmp_path), "--port", "0"]
    process = subprocess.Popen([*command, "--rows", "500"], stdout=subprocess.PIPE, text=True)
    lines = []
    try:
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if line.startswith(LAST_LINE):
                break
    finally:
        process.kill()
        process.communicate()
    text = "".join(lines)
    about = json.loads((tmp_path / "connection.json").read_text(encoding="utf-8"))

    assert "of 500 rows" in text
    assert re.search(r"The organisation has [\d,]+ rows in \d+ tables\.", text)
    for name in ("url", "tenant_id", "client_id", "client_secret", "ca_file"):
        assert about[name] in text
    for title in ("Browser", "curl", "Python SDK", "Airflow", "Switchboard"):
        assert f"\n{title}: " in text
    assert "--conn-type dynamics" in text


def test_progress_on_a_terminal_stays_in_its_line() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress(stream)
    progress.report(10, 2000)
    progress.report(1500, 2000)
    progress.end()

    assert "\n" not in stream.getvalue()
    assert "1,500 of 2,000 rows" in stream.getvalue()
    assert stream.getvalue().endswith("\r\033[K")


def test_profile_is_chosen_once(tmp_path: Path) -> None:
    with _serving(tmp_path, "--rows", "60", "--profile", "customised") as (_, about):
        lengths = _get(about, "EntityDefinitions(LogicalName='lead')/Attributes(LogicalName='firstname')").json()
    other = _run("serve", "--folder", str(tmp_path), "--port", "0", "--profile", "standard")

    assert lengths["MaxLength"] != 50
    assert other.returncode == 2
    assert "customised" in other.stdout
    assert "Traceback" not in other.stderr


def test_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "dynamics_emulator", "serve", "--folder", str(tmp_path / "x"), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 2
    assert f"could not listen on port {port}" in done.stdout
    assert "--port (with make: PORT=)" in done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


def test_a_folder_is_served_once(tmp_path: Path) -> None:
    with _serving(tmp_path, "--rows", "0") as (_, about):
        second = _run("serve", "--folder", str(tmp_path), "--port", "0")
        kept = json.loads((tmp_path / "connection.json").read_text(encoding="utf-8"))

    assert second.returncode == 2
    assert str(tmp_path) in second.stdout
    assert "FOLDER=" in second.stdout
    assert kept == about
    with _serving(tmp_path, "--rows", "0"):
        pass


def test_folders_that_cannot_be_served(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("something")
    other = tmp_path / "other"
    other.mkdir()
    (other / "organisation.sqlite").write_text("no database, and long enough to be none: " * 50)

    for folder, told in ((file, f"{file} is not a folder"), (other, "cannot be used as the organisation's database")):
        done = _run("serve", "--folder", str(folder), "--port", "0")
        assert (done.returncode, done.stderr) == (2, "")
        assert told in done.stdout
        assert "FOLDER=" in done.stdout


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [("--port", "99999", "PORT="), ("--control-port", "x", "PORT="), ("--rows", "-3", "ROWS=")],
)
def test_numbers_that_cannot_be(tmp_path: Path, option: str, value: str, told: str) -> None:
    done = _run("serve", "--folder", str(tmp_path / "x"), f"{option}={value}")

    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


def test_an_old_folder_names_only_what_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(rows: int | None, seed: int | None) -> str:
        say_what_is_held(Launch(tmp_path, 0, None, rows, seed), "60 rows, seed 7")
        return capsys.readouterr().out

    assert told(None, None) == told(60, None) == told(60, 7) == ""
    assert "seed 8 cannot" in told(60, 8)
    assert "rows cannot" not in told(None, 8)
    assert "99 rows and seed 8 cannot" in told(99, 8)
    assert "FOLDER=" in told(99, None)
    assert "make clean" in told(99, None)
    say_what_is_held(Launch(tmp_path, 0, None, 0, None), None)
    assert "is empty" in capsys.readouterr().out


def test_a_reader_that_had_enough(tmp_path: Path) -> None:
    with _serving(tmp_path, "--rows", "0", "--control-port", "0"):
        command = f"{sys.executable} -m dynamics_emulator control --folder {tmp_path} settings | true"
        script = f"{command}; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)

    assert (done.stdout, done.stderr) == ("0\n", "")


def test_commands_are_relative_to_the_folder_that_one_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(sys.executable).parents[1])
    assert beside_python("airflow") == "bin/airflow"
    monkeypatch.chdir("/")
    assert beside_python("airflow") == str(Path(sys.executable).with_name("airflow")).removeprefix("/")


def test_control_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with _serving(tmp_path, "--rows", "60", "--control-port", "0") as (_, about):
        control = about["control_url"]

        def post(path: str, body: dict[str, Any]) -> int:
            return requests.post(f"{control}/{path}", json=body, timeout=5).status_code

        assert post("faults", {"name": "status-503", "times": 1, "match": "/leads"}) == 200
        assert requests.get(f"{control}/faults", timeout=5).json()["faults"][0]["name"] == "status-503"
        assert [_get(about, "leads").status_code for _ in range(2)] == [503, 200]
        assert post("faults", {"name": "status-500", "probability": 1.0}) == 200
        assert requests.delete(f"{control}/faults", timeout=5).status_code == 200
        assert post("settings", {"page_size": 7}) == 200
        assert len(_get(about, "leads").json()["value"]) == 7
        assert post("clock", {"advance_seconds": 10}) == 200
        assert post("clock", {"resume": True}) == 200
        assert post("organization", {"url_name": "copy"}) == 200
        assert post("privileges", {"table": "contact", "read": False}) == 200
        assert _get(about, "contacts").status_code == 403
        assert post("tracking/expire", {}) == 200
        assert post("columns", {"table": "lead", "column": "fax", "action": "drop"}) == 200
        assert post("columns", {"table": "lead", "column": "subject", "action": "shorten", "length": 9}) == 200
        assert post("columns", {"table": "lead", "column": "companyname", "action": "rename", "to": "firm"}) == 200
        assert post("options", {"table": "lead", "column": "leadsourcecode", "value": 8, "action": "remove"}) == 200
        option = {"table": "lead", "column": "leadsourcecode", "value": 9, "action": "relabel", "label": "Hearsay"}
        assert post("options", option) == 200
        lead = _get(about, "leads?$select=leadid").json()["value"][0]["leadid"]
        assert post("raw", {"table": "lead", "id": lead, "values": {"leadsourcecode": 4711}}) == 200
        assert _get(about, f"leads({lead})").json()["leadsourcecode"] == 4711


def test_control_api_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with _serving(tmp_path, "--rows", "0", "--control-port", "0") as (_, about):
        control = about["control_url"]

        def post(path: str, body: dict[str, Any]) -> int:
            return requests.post(f"{control}/{path}", json=body, timeout=5).status_code

        assert post("faults", {"name": "nothing"}) == 400
        assert post("faults", {"name": "slow", "mispelt": 1}) == 400
        assert post("settings", {"nothing": 1}) == 400
        assert post("settings", {"page_size": 0}) == 400
        assert post("organization", {"nothing": "x"}) == 400
        assert post("privileges", {"table": "nothing", "read": False}) == 400
        assert post("raw", {"table": "lead", "id": "nothing", "values": {}}) == 400
        plain = requests.post(f"{control}/faults", data='{"name":"slow"}', timeout=5)
        assert plain.status_code == 415
        assert requests.get(f"{control}/faults", headers={"Host": "elsewhere.example"}, timeout=5).status_code == 400
