"""What airbyte's source for Dataverse sends."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

ROOT = "/api/data/v9.2"

AIRBYTE = {
    "User_Agent": "python-requests/2.34.2",
    "Accept": "application/json",
    "Connection": "keep-alive",
    "Cache_Control": "no-cache",
    "OData_Version": "4.0",
    "Content_Type": "application/json",
}
TRACKED = "odata.track-changes,odata.maxpagesize=5"


def _reencoded(link: str) -> str:
    """A link as airbyte's framework sends it: taken apart, and put together again like a form."""
    parts = urlsplit(link)
    options = [(name, value) for name, values in parse_qs(parts.query).items() for value in values]
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in options)


def test_airbyte_encodes_links_anew_and_sends_its_preferences_always(wire: Any) -> None:
    page = wire.send("GET", f"{ROOT}/leads", **AIRBYTE, Prefer=TRACKED)
    sizes = [len(page.json["value"])]
    while "@odata.nextLink" in page.json:
        query = _reencoded(page.json["@odata.nextLink"])
        assert query.startswith("%24skiptoken=%3Ccookie+pagenumber%3D%22")
        page = wire.send("GET", f"{ROOT}/leads?{query}", **AIRBYTE, Prefer=TRACKED)
        sizes.append(len(page.json["value"]))

    assert sizes == [5, 5, 2]
    assert re.fullmatch(
        r"%24deltatoken=\d+%21\d{2}%2F\d{2}%2F\d{4}\+\d{2}%3A\d{2}%3A\d{2}", _reencoded(page.json["@odata.deltaLink"])
    )


def test_airbyte_keeps_only_the_token_of_a_delta_link(wire: Any) -> None:
    link = wire.send("GET", f"{ROOT}/leads?$select=lastname", **AIRBYTE, Prefer="odata.track-changes").json
    token = _reencoded(link["@odata.deltaLink"]).partition("%24deltatoken=")[2]

    delta = wire.send("GET", f"{ROOT}/leads?%24deltatoken={token}", **AIRBYTE, Prefer=TRACKED)

    assert delta.status == 200
    assert delta.json["value"] == []
    assert delta.json["@odata.context"].endswith("$metadata#leads/$delta")


def test_airbyte_takes_the_parts_of_a_batch_apart_by_hand(wire: Any) -> None:
    target = f"{ROOT}/EntityDefinitions(LogicalName='lead')?$select=LogicalName&$expand=Attributes($select=LogicalName)"
    lines = [
        "--batch_x",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        f"GET {target} HTTP/1.1",
        "Accept: application/json",
        "",
        "--batch_x--",
    ]
    kind = "multipart/mixed; boundary=batch_x"

    found = wire.send("POST", f"{ROOT}/$batch", "\r\n".join(lines), **{**AIRBYTE, "Content_Type": kind})

    boundary = str(found.headers["Content-Type"]).split("boundary=")[1]
    _, part, end = found.body.decode().split(f"--{boundary}")
    mime, head, body = part.strip().split("\r\n\r\n", 2)
    assert "Content-Type: application/http" in mime
    assert head.startswith("HTTP/1.1 200 OK")
    assert json.loads(body)["LogicalName"] == "lead"
    assert end.strip() == "--"
