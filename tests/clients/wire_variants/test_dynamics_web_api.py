"""What dynamics-web-api sends."""

import re
from typing import Any
from urllib.parse import quote

GUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ROOT = "/api/data/v9.2"

DWA = {
    "Accept": "application/json",
    "OData_MaxVersion": "4.0",
    "OData_Version": "4.0",
    "Content_Type": "application/json; charset=utf-8",
}


def test_dynamics_web_api_names_its_character_set(wire: Any) -> None:
    careful = {"MSCRM.SuppressDuplicateDetection": "false", "MSCRM.BypassCustomPluginExecution": "true"}
    user = wire.send("GET", f"{ROOT}/WhoAmI").json["UserId"]

    made = wire.send("POST", f"{ROOT}/accounts", '{"name":"Ä & Ö"}', **DWA, **careful, MSCRMCallerID=user)

    assert made.status == 204


def test_dynamics_web_api_follows_a_delta_link_without_preferences(wire: Any) -> None:
    start = wire.send("GET", f"{ROOT}/leads?$select=lastname", **DWA, Prefer="odata.track-changes")
    link = wire.target(start.json["@odata.deltaLink"])

    delta = wire.send("GET", link, **DWA)

    assert delta.status == 200
    assert delta.json["value"] == []


def test_dynamics_web_api_begins_a_batch_with_an_empty_line(wire: Any) -> None:
    lines = [
        "",
        "--dwa_batch_1",
        "Content-Type: multipart/mixed;boundary=changeset_1",
        "",
        "--changeset_1",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "Content-ID: 100001",
        "",
        f"POST {wire.emulator.api}/accounts HTTP/1.1",
        "Content-Type: application/json",
        "",
        '{"name":"Acme"}',
        "",
        "--changeset_1--",
        "",
        "--dwa_batch_1--",
        "",
    ]
    kind = "multipart/mixed;boundary=dwa_batch_1"

    found = wire.send("POST", f"{ROOT}/$batch", "\r\n".join(lines), **{**DWA, "Content_Type": kind})

    assert found.status == 200
    assert rb"Content-ID: 100001" in found.body
    assert re.search(rf"multipart/mixed; ?boundary=changesetresponse_{GUID}".encode(), found.body)
    assert re.findall(rb"HTTP/1\.1 (\d+)", found.body) == [b"204"]


def test_the_word_null_is_no_etag(wire: Any) -> None:
    [row] = wire.send("GET", f"{ROOT}/leads?$top=1&$select=leadid").json["value"]
    path = f"{ROOT}/leads({quote(row['leadid'])})"

    read = wire.send("GET", path, If_None_Match="null")
    written = wire.send("PATCH", path, '{"jobtitle":"CTO"}', Content_Type="application/json", If_None_Match="null")

    assert [read.status, written.status] == [200, 204]
