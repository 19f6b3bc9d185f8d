"""Documented requests, replayed and compared with the documented answers by their shape.

The examples stand in the ``documented_*.yaml`` beside this file. A request is its first line, its headers, and a body
after an empty line. ``<lead>`` and the like stand for rows that each example finds new; ``keep`` gives a header or a
property of the answer such a name for the steps under ``then``. Every other word in angle brackets is a shape, such as
``<guid>``. The keys of an object must stand in the order of the example; ``...`` allows others in any place. One
element of an expected list is the shape of all, and of at least one; more elements are compared one by one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from requests import Response

from dynamics_emulator.security.founding import MARKETING_SYNC
from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_emulator.testing_client import Client, connect

FOLDER = Path(__file__).parent
NOBODY = "00000000-0000-0000-0000-00000000dead"
SHAPES = {
    "guid": "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "etag": r'W/"\d+"',
    "code": "0x8[0-9a-f]{7}",
    "digits": r"\d+",
    "text": "(?s:.*)",
}
OTHER = "..."


def _examples() -> list[Any]:
    found = [
        (path.stem.removeprefix("documented_"), example)
        for path in sorted(FOLDER.glob("documented_*.yaml"))
        for example in yaml.safe_load(path.read_text())
    ]
    return [pytest.param(example, id=f"{kind}: {example['name']}") for kind, example in found]


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    """One organisation for all examples."""
    with running_emulator() as running:
        yield running


@pytest.fixture(autouse=True)
def _settings_of_one_example(emulator: RunningEmulator) -> Iterator[None]:
    """What an example sets is undone after it."""
    before = emulator.organisation.settings
    yield
    emulator.control.change_settings(**before.model_dump())


@pytest.fixture
def names(emulator: RunningEmulator, client: Client) -> dict[str, str]:
    """What the words in angle brackets stand for: rows of this example's own."""
    who = client.get("WhoAmI").json()
    unit = f"/businessunits({who['BusinessUnitId']})"
    currency = client.rows("transactioncurrencies?$select=transactioncurrencyid")[0]["transactioncurrencyid"]
    key = f"M-{uuid4()}"
    account = _create(client, "accounts", name="Acme")
    contact = _create(
        client, "contacts", lastname="Lee", **{"parentcustomerid_account@odata.bind": f"/accounts({account})"}
    )
    team = _create(client, "teams", name=f"Inbound {key}", **{"businessunitid@odata.bind": unit})
    emulator.control.assign_role(MARKETING_SYNC, team=team)
    binds = {
        "parentcontactid@odata.bind": f"/contacts({contact})",
        "ownerid@odata.bind": f"/teams({team})",
        "transactioncurrencyid@odata.bind": f"/transactioncurrencies({currency})",
    }
    lead = _create(client, "leads", lastname="Okafor", leadsourcecode=8, estimatedamount=4500, acme_extid=key, **binds)
    fixed = {"url": emulator.url, "api": emulator.api, "authority": emulator.authority, "nobody": NOBODY}
    fixed |= {"client": emulator.client_id, "secret": emulator.client_secret, "scope": emulator.scope}
    rows = {"lead": lead, "contact": contact, "account": account, "team": team, "currency": currency}
    return {**fixed, **rows, "user": who["UserId"], "key": key, "new": str(uuid4()), "another": str(uuid4())}


def _create(client: Client, set_name: str, **values: Any) -> str:
    return client.create(set_name, **values)[-37:-1]


@pytest.mark.parametrize("example", _examples())
def test_a_documented_example(
    example: dict[str, Any], emulator: RunningEmulator, client: Client, names: dict[str, str]
) -> None:
    for step in [example, *example.get("then", [])]:
        emulator.control.change_settings(**step.get("settings", {}))
        if "advance" in step:
            emulator.control.advance_clock(step["advance"])
            client = replace(client, session=connect(emulator).session)
        answer = _send(client, _filled(step["request"], names))
        _compare(answer, step, names)
        names |= {name: _kept(answer, place) for name, place in step.get("keep", {}).items()}
        if "delta" in names:
            names["delta-token"] = names["delta"].partition("$deltatoken=")[2]


def _filled(text: str, names: Mapping[str, str]) -> str:
    return re.sub(r"<([\w-]+)>", lambda found: names.get(found[1], found[0]), text)


def _send(client: Client, text: str) -> Response:
    head, _, body = text.partition("\n\n")
    line, *lines = head.strip().splitlines()
    method, _, path = line.partition(" ")
    headers = {name: value.strip() or None for name, _, value in (line.partition(":") for line in lines)}
    if body.strip():
        headers.setdefault("Content-Type", "application/json")
    return client.call(method, path, headers=headers, data=body.strip().encode() or None)


def _kept(answer: Response, place: str) -> str:
    return str(answer.headers[place] if place in answer.headers else answer.json()[place])


def _compare(answer: Response, step: Mapping[str, Any], names: Mapping[str, str]) -> None:
    assert re.fullmatch(str(step["status"]), str(answer.status_code)), answer.text
    for header, shape in step.get("headers", {}).items():
        if shape is None:
            assert header not in answer.headers
        else:
            _match(answer.headers.get(header), shape, names, f"header {header}")
    if "text" in step:
        _match(answer.text, step["text"], names, "the body")
    if "body" in step:
        _match(json.loads(answer.text), step["body"], names, "")
    if str(answer.status_code) in {"204", "304"}:
        assert answer.content == b""


def _match(found: Any, shape: Any, names: Mapping[str, str], place: str) -> None:
    if isinstance(shape, dict):
        _match_object(found, shape, names, place)
    elif isinstance(shape, list):
        _match_list(found, shape, names, place)
    elif shape == "<number>":
        assert isinstance(found, int | float), place
        assert not isinstance(found, bool), place
    elif shape == "<bool>":
        assert isinstance(found, bool), place
    elif isinstance(shape, str):
        assert isinstance(found, str), place
        assert re.fullmatch(_pattern(shape, names), found), f"{place}: {found!r} is not {shape!r}"
    else:
        assert (found, type(found)) == (shape, type(shape)), place


def _match_object(found: Any, shape: Mapping[str, Any], names: Mapping[str, str], place: str) -> None:
    assert isinstance(found, dict), place
    known = [key for key in found if key in shape]
    assert known == [key for key in shape if key != OTHER], f"{place}: {list(found)}"
    assert OTHER in shape or len(found) == len(known), f"{place}: {list(found)}"
    for key in known:
        _match(found[key], shape[key], names, f"{place}/{key}")


def _match_list(found: Any, shape: list[Any], names: Mapping[str, str], place: str) -> None:
    assert isinstance(found, list), place
    expected = shape * len(found) if len(shape) == 1 else shape
    assert len(found) == len(expected), f"{place}: {found}"
    assert bool(found) == bool(shape), f"{place}: {found}"
    for number, (element, one) in enumerate(zip(found, expected, strict=True)):
        _match(element, one, names, f"{place}/{number}")


def _pattern(shape: str, names: Mapping[str, str]) -> str:
    pieces = re.split(r"<([\w-]+)>", shape)
    words = [
        re.escape(names[word]) if word in names else SHAPES.get(word, re.escape(f"<{word}>")) for word in pieces[1::2]
    ]
    texts = [re.escape(text) for text in pieces[::2]]
    return "".join(text + word for text, word in zip(texts, [*words, ""], strict=True))


@pytest.mark.parametrize(
    ("found", "shape"),
    [
        ({"b": 1, "a": 1}, {"a": 1, "b": 1}),
        ({"a": 1, "b": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 1, "...": "more"}),
        ({"a": "1"}, {"a": 1}),
        ({"a": True}, {"a": 1}),
        ({"a": True}, {"a": "<number>"}),
        ({"a": 1}, {"a": "<bool>"}),
        ({"a": "<lead>"}, {"a": "<lead>"}),
        ({"a": "x"}, {"a": "<guid>"}),
        ({"a": []}, {"a": ["<text>"]}),
        ({"a": [1]}, {"a": []}),
        ({"a": ["x", 1]}, {"a": ["<text>"]}),
        ({"a": ["x"]}, {"a": ["<text>", "<text>"]}),
        ({"a": None}, {"a": "<text>"}),
    ],
)
def test_the_comparison_sees_what_differs(found: dict[str, Any], shape: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        _match(found, shape, {"lead": NOBODY}, "")


def test_the_comparison_takes_what_fits() -> None:
    found = {"id": NOBODY, "x": 0, "size": 4.5, "flag": False, "rows": [{"etag": 'W/"12"'}, {"etag": 'W/"13"'}]}
    shape = {"id": "<lead>", "...": "more", "size": "<number>", "flag": "<bool>", "rows": [{"etag": "<etag>"}]}

    _match(found, shape, {"lead": NOBODY}, "")
