"""Batches of conditional writes: what a client that writes rows back is answered, part by part."""

from typing import Any
from uuid import UUID

import pytest

from dynamics_emulator.testing_client import Call, Client, PartAnswer

ANY = {"If-Match": "*"}
NEW = {"If-None-Match": "*"}
WHOLE = {"Prefer": 'return=representation,odata.include-annotations="*"'}
CRM = "Microsoft.Dynamics.CRM"
TIES = f"{CRM}.lookuplogicalname"
SHOWN = "OData.Community.Display.V1.FormattedValue"


def key(number: int) -> str:
    return str(UUID(int=number, version=4))


def lead(number: int) -> str:
    return f"leads({key(number)})"


def version(client: Client, path: str) -> dict[str, str]:
    """The condition that names the version that a row has now."""
    return {"If-Match": client.get(path).headers["ETag"]}


def refused(client: Client, *calls: Call) -> list[tuple[int, str]]:
    """Refusals of parts between two that pass: those before and after are carried out."""
    first, *between, last = client.batch(
        Call("PATCH", lead(101), {"lastname": "x"}), *calls, Call("PATCH", lead(102), {"lastname": "x"})
    )
    assert (first.status, last.status) == (204, 204)
    assert [answer.headers["REQ_ID"] is not None for answer in between] == [True] * len(between)
    return [answer.refusal for answer in between]


def create(number: int, **values: Any) -> Call:
    return Call("PATCH", lead(number), {"lastname": f"Lead {number}", **values}, NEW)


def test_hundreds_of_creates_updates_and_deletes(client: Client) -> None:
    numbers = range(1, 301)
    assert [answer.status for answer in client.batch(*map(create, numbers))] == [204] * 300
    tags = {row["leadid"]: row["@odata.etag"] for row in client.rows("leads?$select=leadid")}
    changes = [Call("PATCH", lead(n), {"firstname": "Ada"}, {"If-Match": tags[key(n)]}) for n in numbers]

    first, again = client.batch(*changes), client.batch(*changes)

    assert [answer.status for answer in first] == [204] * 300
    assert {answer.refusal for answer in again} == {(412, "0x80060882")}
    newer = {row["leadid"]: row["@odata.etag"] for row in client.rows("leads?$select=leadid")}
    ends = [Call("DELETE", lead(n), headers={"If-Match": newer[key(n)]}) for n in numbers]
    assert [answer.status for answer in client.batch(*ends)] == [204] * 300
    assert client.emulator.database.count("lead") == 0


def test_conditions_of_each_part(client: Client) -> None:
    client.batch(create(1), create(2), create(3))
    stale = version(client, lead(1))
    client.call("PATCH", lead(1), json={"firstname": "Changed"})
    gone = version(client, lead(2))
    client.call("DELETE", lead(2))

    assert refused(
        client,
        Call("PATCH", lead(1), {"firstname": "Mine"}, stale),
        Call("DELETE", lead(1), headers=stale),
        Call("PATCH", lead(2), {"firstname": "Mine"}, gone),
        Call("DELETE", lead(2), headers=gone),
        Call("PATCH", lead(2), {"firstname": "Mine"}, ANY),
        Call("DELETE", lead(2), headers=ANY),
        create(3),
    ) == [(412, "0x80060882")] * 2 + [(404, "0x80040217")] * 4 + [(412, "0x80040237")]
    names = {row["leadid"]: row["firstname"] for row in client.emulator.database.rows("lead")}
    assert names[key(1)] == "Changed"
    assert key(2) not in names


def test_two_parts_on_one_row(client: Client) -> None:
    """The second part of a batch sees what the first one did."""
    client.batch(create(1))
    known = version(client, lead(1))
    change = Call("PATCH", lead(1), {"firstname": "Ada"}, known)

    assert [answer.status for answer in client.batch(change, change)] == [204, 412]
    known = version(client, lead(1))
    assert [answer.status for answer in client.batch(Call("DELETE", lead(1), headers=known), create(1))] == [204, 204]


def test_id_of_a_deleted_row_is_free_again(client: Client) -> None:
    client.batch(create(1))
    link = client.get("leads?$select=lastname", prefer="odata.track-changes").json()["@odata.deltaLink"]
    client.call("DELETE", lead(1))

    [answer] = client.batch(create(1, lastname="Again"))

    assert answer.status == 204
    assert [(row.get("lastname"), row.get("reason")) for row in client.rows(link)] == [("Again", None)]


def test_written_rows_come_back_with_annotations(client: Client) -> None:
    user = client.get("WhoAmI").json()["UserId"]
    contact = client.create("contacts", firstname="Ngozi", lastname="Okafor")[-37:-1]
    columns = "fullname,leadsourcecode,statecode,statuscode,estimatedamount,_parentcontactid_value,_ownerid_value"
    path = f"{lead(1)}?$select={columns}"
    values = {"firstname": "Ada", "leadsourcecode": 8, "estimatedamount": 12.5}
    bind = {"parentcontactid@odata.bind": f"/contacts({contact})"}

    [made] = client.batch(Call("PATCH", path, {"lastname": "Lee", **values, **bind}, NEW | WHOLE))
    condition = {"If-Match": made.body["@odata.etag"]}
    states = {"statecode": 2, "statuscode": 4, "parentcontactid@odata.bind": None}
    [changed] = client.batch(Call("PATCH", path, states, condition | WHOLE))

    assert (made.status, changed.status) == (201, 200)
    assert made.headers["Preference-Applied"] == WHOLE["Prefer"]
    assert made.headers["ETag"] == made.body["@odata.etag"]
    assert made.headers["OData-EntityId"] is None
    row = made.body
    assert (row["leadid"], row["fullname"], row[f"leadsourcecode@{SHOWN}"]) == (key(1), "Ada Lee", "Web")
    assert (row["_parentcontactid_value"], row[f"_parentcontactid_value@{TIES}"]) == (contact, "contact")
    assert row[f"_parentcontactid_value@{SHOWN}"] == "Ngozi Okafor"
    assert (row["_ownerid_value"], row[f"_ownerid_value@{TIES}"]) == (user, "systemuser")
    assert (row["estimatedamount"], row["_transactioncurrencyid_value"] is None) == (12.5, False)
    assert "lastname" not in row
    row = changed.body
    assert (row["statecode"], row[f"statecode@{SHOWN}"], row["statuscode"]) == (2, "Disqualified", 4)
    assert row["_parentcontactid_value"] is None
    assert row["@odata.etag"] != made.body["@odata.etag"]
    assert client.get(lead(1)).headers["ETag"] == row["@odata.etag"]


def test_unknown_column_in_the_select_of_a_written_row(client: Client) -> None:
    calls = [Call("PATCH", lead(1), {"lastname": "x"}, NEW | WHOLE), Call("POST", "leads", {"lastname": "x"}, WHOLE)]
    asking = [Call(call.method, f"{call.path}?$select=nothing", call.body, call.headers) for call in calls]

    assert [answer.refusal for answer in client.batch(*asking)] == [(400, "0x80060888")] * 2
    assert client.emulator.database.count("lead") == 0


def test_values_that_are_refused(client: Client) -> None:
    client.batch(create(1), create(2))
    client.call("PATCH", lead(2), json={"statecode": 1, "statuscode": 3})
    client.emulator.control.add_rule("lead", "companyname eq 'Rival'", "No rivals.")
    before = version(client, lead(1))
    nobody = f"/contacts({key(404)})"

    def change(**values: Any) -> Call:
        return Call("PATCH", lead(1), values, before)

    assert refused(
        client,
        change(firstname="x" * 51),
        change(leadsourcecode=4711),
        change(statecode=0, statuscode=4),
        change(companyname="Rival"),
        change(**{"parentcontactid@odata.bind": nobody}),
        change(acme_nothing=1),
        Call("PATCH", lead(2), {"firstname": "x"}, version(client, lead(2))),
    ) == [
        (400, "0x80044331"),
        (400, "0x8004431a"),
        (400, "0x80048408"),
        (400, "0x80040265"),
        (404, "0x80040217"),
        (400, "0x80048d19"),
        (400, "0x80040230"),
    ]
    assert version(client, lead(1)) == before


@pytest.mark.parametrize("choice", ["ignore", "refuse"])
@pytest.mark.parametrize("column", ["createdon", "fullname", "modifiedon", "versionnumber"])
def test_read_only_columns(client: Client, choice: str, column: str) -> None:
    client.emulator.control.change_settings(read_only_columns=choice)
    client.batch(create(1))
    before = client.emulator.database.rows("lead")[0]
    written = {"createdon": "2020-01-01T00:00:00Z", "fullname": "y", "modifiedon": "2020-01-01T00:00:00Z"}.get(
        column, 1
    )
    body = {"firstname": "Ada", column: written}

    [answer] = client.batch(Call("PATCH", lead(1), body, version(client, lead(1)) | WHOLE))

    after = client.emulator.database.rows("lead")[0]
    assert answer.status == (200 if choice == "ignore" else 400)
    assert after[column] != written
    assert (after["firstname"] == "Ada") is (choice == "ignore")
    if choice == "refuse":
        assert answer.refusal == (400, "0x80060888")
        assert after == before


def test_duplicates_are_looked_for_only_when_asked(client: Client) -> None:
    client.batch(create(1, emailaddress1="ada@acme.example"))
    twin = create(2, emailaddress1="ada@acme.example")
    asked = Call(twin.method, twin.path, twin.body, {**twin.headers, "MSCRM.SuppressDuplicateDetection": "false"})

    assert refused(client, asked) == [(412, "0x80040333")]
    assert [answer.status for answer in client.batch(twin)] == [204]


@pytest.mark.parametrize(("right", "call"), [("Create", create(9)), ("Write", Call("PATCH", lead(1), {}, ANY))])
def test_missing_privilege(client: Client, right: str, call: Call) -> None:
    client.batch(create(1))
    client.emulator.control.set_privilege("lead", right, None)

    first, second = client.batch(call, Call("GET", f"{lead(1)}?$select=leadid"))

    assert (first.refusal, second.status) == ((403, "0x80040220"), 200)
    assert f"prv{right}Lead" in first.body["error"]["message"]


def test_refusals_tell_details_when_annotations_are_asked_for(client: Client) -> None:
    [plain, told] = client.batch(*(Call("PATCH", lead(1), {}, ANY | more) for more in ({}, WHOLE)))

    assert plain.refusal == told.refusal
    assert list(plain.body["error"]) == ["code", "message"]
    assert f"@{'Microsoft.PowerApps.CDS.HelpLink'}" in told.body["error"]


def test_row_made_by_a_conditional_patch_can_be_qualified(client: Client) -> None:
    client.batch(create(1, firstname="Ada", companyname="Acme"))
    words = {"CreateAccount": True, "CreateContact": True, "CreateOpportunity": True, "Status": 3}

    [answer] = client.batch(Call("POST", f"{lead(1)}/{CRM}.QualifyLead", words))

    assert [row["@odata.type"].rpartition(".")[2] for row in answer.body["value"]] == [
        "account",
        "contact",
        "opportunity",
    ]
    [contact], [row] = client.emulator.database.rows("contact"), client.emulator.database.rows("lead")
    assert (contact["fullname"], contact["originatingleadid"]) == ("Ada Lead 1", key(1))
    assert (row["statecode"], row["statuscode"], row["parentcontactid"]) == (1, 3, contact["contactid"])
    assert refused(client, Call("PATCH", lead(1), {"firstname": "x"}, ANY)) == [(400, "0x80040230")]


def test_rows_made_by_a_conditional_patch_can_be_merged(client: Client) -> None:
    client.batch(create(1), create(2, jobtitle="CEO"))
    known = version(client, lead(2))
    parties = {
        name: {"@odata.type": f"{CRM}.lead", "leadid": key(number)}
        for name, number in (("Target", 1), ("Subordinate", 2))
    }

    assert client.call("POST", "Merge", json={**parties, "PerformParentingChecks": False}).status_code == 204

    rows = {row["leadid"]: row for row in client.emulator.database.rows("lead")}
    assert (rows[key(2)]["merged"], rows[key(2)]["masterid"], rows[key(2)]["statecode"]) == (1, key(1), 2)
    assert refused(client, Call("PATCH", lead(2), {"firstname": "x"}, known)) == [(412, "0x80060882")]
    answers: list[PartAnswer] = client.batch(Call("PATCH", lead(1), {"firstname": "x"}, version(client, lead(1))))
    assert answers[0].status == 204
