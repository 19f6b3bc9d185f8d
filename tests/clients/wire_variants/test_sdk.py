"""What Microsoft's Python SDK sends."""

import re
from typing import Any

GUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ROOT = "/api/data/v9.2"

SDK = {
    "Accept": "application/json",
    "Content_Type": "application/json",
    "OData_MaxVersion": "4.0",
    "OData_Version": "4.0",
    "User_Agent": "DataverseSvcPythonClient:1.1.0",
    "x_ms_client_request_id": "5c0b5d5e-8f2b-4f5f-9d3a-0a4d6a7d2f10",
    "x_ms_correlation_id": "b3c0f9a2-7b3b-4f0e-8f43-2f3c5a0a9c11",
}


def test_the_sdk_encodes_options_like_a_form(wire: Any) -> None:
    query = "%24select=lastname%2Cjobtitle&%24filter=jobtitle+eq+%27Head+of+R%26D%27&%24orderby=lastname+desc&%24top=2"

    found = wire.send("GET", f"{ROOT}/leads?{query}", **SDK)

    assert found.status == 200
    assert [row["lastname"] for row in found.json["value"]] == ["L11", "L10"]


def test_the_sdk_repeats_its_preferences_on_each_page(wire: Any) -> None:
    prefer = 'odata.maxpagesize=5,odata.include-annotations="*"'
    target, sizes = f"{ROOT}/leads?%24select=lastname", []
    while target:
        page = wire.send("GET", target, **SDK, Prefer=prefer).json
        sizes.append(len(page["value"]))
        link = page.get("@odata.nextLink", "")
        target = wire.target(link) if link else ""

    assert sizes == [5, 5, 2]


def test_the_sdk_casts_metadata_with_a_plain_select(wire: Any) -> None:
    cast = "EntityDefinitions(LogicalName='lead')/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata"

    found = wire.send("GET", f"{ROOT}/{cast}?$select=LogicalName&$expand=OptionSet($select=Options)", **SDK)

    assert found.status == 200
    assert set(found.json["value"][0]) == {"LogicalName", "MetadataId", "OptionSet"}


def test_the_sdk_finds_the_id_of_a_new_row_in_a_header(wire: Any) -> None:
    made = wire.send("POST", f"{ROOT}/accounts", '{"name": "Acme"}', **SDK)

    assert made.status == 204
    [row] = re.findall(rf"\(({GUID})\)", str(made.headers["OData-EntityId"]))
    changed = wire.send("PATCH", f"{ROOT}/accounts({row})", '{"name": "Acme & Co"}', **SDK, If_Match="*")
    gone = wire.send("DELETE", f"{ROOT}/accounts({row})", **SDK, If_Match="*")
    again = wire.send("DELETE", f"{ROOT}/accounts({row})", **SDK, If_Match="*")
    assert [changed.status, gone.status, again.status] == [204, 204, 404]


def test_the_sdk_quotes_its_boundary_and_sends_whole_addresses(wire: Any) -> None:
    api = wire.emulator.api
    lines = [
        "--batch_1",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        f"POST {api}/accounts HTTP/1.1",
        "Content-Type: application/json; type=entry",
        "",
        '{"name": "Acme"}',
        "--batch_1",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        f"GET {api}/leads?$select=lastname&$filter=lastname eq 'L03' HTTP/1.1",
        'Prefer: odata.maxpagesize=1,odata.include-annotations="*"',
        "",
        "",
        "--batch_1--",
        "",
    ]
    kind = 'multipart/mixed; boundary="batch_1"'

    found = wire.send("POST", f"{ROOT}/$batch", "\r\n".join(lines), **{**SDK, "Content_Type": kind})

    assert found.status == 200
    assert re.fullmatch(rf"multipart/mixed; boundary=batchresponse_{GUID}", str(found.headers["Content-Type"]))
    assert re.findall(rb"HTTP/1\.1 (\d+)", found.body) == [b"204", b"200"]
    assert b'"lastname":"L03"' in found.body
