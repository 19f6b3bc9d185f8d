"""dynamics-web-api: rows, lookups and what guards a write."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from dynamics_emulator.security.founding import MARKETING_SYNC
from dynamics_emulator.testing import RunningEmulator
from dynamics_emulator.testing_client import Client

NOBODY = "00000000-0000-0000-0000-00000000dead"
Refusal = Callable[..., Any]


def _lead(dwa: Any, mark: str, **values: Any) -> str:
    made: str = dwa.call("create", {"collection": "leads", "data": {"lastname": "A", "companyname": mark, **values}})
    return made


def _read(dwa: Any, lead: str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = dwa.call("retrieve", {"collection": "leads", "key": lead, **options})
    return found


def test_creates_and_retrieves(dwa: Any, mark: str) -> None:
    lead = _lead(dwa, mark, leadsourcecode=8)

    found = _read(dwa, lead, select=["lastname", "leadsourcecode", "_ownerid_value"], includeAnnotations="*")

    assert found["lastname"] == "A"
    assert found["leadsourcecode@OData.Community.Display.V1.FormattedValue"] == "Web"
    # The client adds short names of its own for the annotations that it knows.
    assert found["_ownerid_value_LogicalName"] == "systemuser"
    assert found["_ownerid_value_NavigationProperty"] == "ownerid"


def test_creates_with_the_row_in_the_answer(dwa: Any, mark: str) -> None:
    request = {
        "collection": "leads",
        "data": {"lastname": "A", "companyname": mark},
        "returnRepresentation": True,
        "select": ["lastname", "companyname"],
    }

    made = dwa.call("create", request)

    assert (made["lastname"], made["companyname"]) == ("A", mark)
    assert made["@odata.etag"].startswith('W/"')


def test_retrieves_with_expanded_rows(dwa: Any, mark: str) -> None:
    account = dwa.call("create", {"collection": "accounts", "data": {"name": mark}})
    for name in ("Ada", "Bo"):
        person = {"lastname": name, "parentcustomerid_account@odata.bind": f"accounts({account})"}
        dwa.call("create", {"collection": "contacts", "data": person})

    found = dwa.call(
        "retrieve",
        {
            "collection": "accounts",
            "key": account,
            "select": ["name"],
            "expand": [
                {
                    "property": "contact_customer_accounts",
                    "select": ["lastname"],
                    "filter": "lastname ne 'Zoe'",
                    "orderBy": ["lastname desc"],
                    "top": 1,
                },
                {"property": "owninguser", "select": ["fullname"]},
            ],
        },
    )

    assert [row["lastname"] for row in found["contact_customer_accounts"]] == ["Bo"]
    assert found["owninguser"]["systemuserid"]


def test_retrieves_only_what_changed(dwa: Any, mark: str) -> None:
    account = dwa.call("create", {"collection": "accounts", "data": {"name": mark}})
    request = {"collection": "accounts", "key": account, "select": ["name"]}
    etag = dwa.call("retrieve", request)["@odata.etag"]

    unchanged = dwa.call("retrieve", {**request, "ifnonematch": etag})
    dwa.call("update", {"collection": "accounts", "key": account, "data": {"name": f"{mark}!"}})
    changed = dwa.call("retrieve", {**request, "ifnonematch": etag})

    # The client passes a 304 on as nothing.
    assert not unchanged
    assert changed["name"] == f"{mark}!"


def test_updates(dwa: Any, mark: str) -> None:
    lead = _lead(dwa, mark)

    told = dwa.call("update", {"collection": "leads", "key": lead, "data": {"lastname": "B"}})
    shown = dwa.call(
        "update",
        {
            "collection": "leads",
            "key": lead,
            "data": {"jobtitle": "Buyer"},
            "returnRepresentation": True,
            "select": ["lastname", "jobtitle"],
        },
    )

    assert told is True
    assert (shown["lastname"], shown["jobtitle"]) == ("B", "Buyer")


def test_updates_a_single_property(dwa: Any, mark: str) -> None:
    lead = _lead(dwa, mark)

    dwa.call("updateSingleProperty", {"collection": "leads", "key": lead, "fieldValuePair": {"jobtitle": "Buyer"}})
    assert _read(dwa, lead)["jobtitle"] == "Buyer"

    dwa.call("deleteRecord", {"collection": "leads", "key": lead, "property": "jobtitle"})
    assert _read(dwa, lead)["jobtitle"] is None


def test_an_update_of_no_row_is_refused(refusal: Refusal) -> None:
    told = refusal("update", {"collection": "leads", "key": NOBODY, "data": {"lastname": "B"}})

    assert (told.status, told.code) == (404, "0x80040217")
    assert NOBODY in told.told["message"]


def test_a_stale_update_is_no_error_but_false(dwa: Any, mark: str) -> None:
    lead = _lead(dwa, mark)
    etag = _read(dwa, lead)["@odata.etag"]
    request = {"collection": "leads", "key": lead, "ifmatch": etag}

    assert dwa.call("update", {**request, "data": {"lastname": "B"}}) is True
    assert dwa.call("update", {**request, "data": {"lastname": "C"}}) is False
    assert dwa.call("deleteRecord", request) is False
    assert _read(dwa, lead)["lastname"] == "B"


def test_deletes(dwa: Any, refusal: Refusal, mark: str) -> None:
    lead = _lead(dwa, mark)

    dwa.call("deleteRecord", {"collection": "leads", "key": lead, "ifmatch": _read(dwa, lead)["@odata.etag"]})

    assert refusal("retrieve", {"collection": "leads", "key": lead}).status == 404


def test_upserts_by_id(dwa: Any, mark: str) -> None:
    request = {"collection": "leads", "key": str(uuid4()), "data": {"lastname": mark}}

    dwa.call("upsert", request)
    created_again = dwa.call("upsert", {**request, "ifnonematch": "*"})
    updated = dwa.call("upsert", {**request, "data": {"lastname": "B"}, "ifmatch": "*"})
    never_there = dwa.call("upsert", {**request, "key": NOBODY, "ifmatch": "*"})

    # A 412 of a guarded upsert, and the 404 of one that must not create, are answers to this client.
    assert created_again is None
    assert updated == request["key"]
    assert never_there is None
    assert _read(dwa, request["key"])["lastname"] == "B"


def test_upserts_by_alternate_key(dwa: Any, client: Client, mark: str) -> None:
    request = {"collection": "leads", "key": f"acme_extid='{mark}'", "select": ["lastname", "acme_extid"]}

    told = dwa.call("upsert", {**request, "data": {"lastname": "A"}})
    shown = dwa.call("upsert", {**request, "data": {"lastname": "B"}, "returnRepresentation": True})

    # The answer's address has the form of the key that was sent, so there is no id to read from it.
    assert told is None
    assert (shown["lastname"], shown["acme_extid"]) == ("B", mark)
    assert len(client.rows(f"leads?$filter=acme_extid eq '{mark}'")) == 1
    assert _read(dwa, request["key"])["leadid"] == shown["leadid"]


def test_binds_and_clears_a_lookup(dwa: Any, mark: str) -> None:
    contact = dwa.call("create", {"collection": "contacts", "data": {"lastname": mark}})
    lead = _lead(dwa, mark)
    place = {"collection": "leads", "primaryKey": lead, "navigationProperty": "parentcontactid"}

    dwa.call("associateSingleValued", {**place, "relatedCollection": "contacts", "relatedKey": contact})
    assert _read(dwa, lead)["_parentcontactid_value"] == contact

    dwa.call("disassociateSingleValued", place)
    assert _read(dwa, lead)["_parentcontactid_value"] is None


def test_adds_and_removes_a_member(dwa: Any, client: Client) -> None:
    team = client.rows("teams?$select=teamid&$filter=isdefault eq false&$top=1")[0]["teamid"]
    user = dwa.call("callFunction", "WhoAmI")["UserId"]
    place = {"collection": "teams", "primaryKey": team, "relationshipName": "teammembership_association"}
    members = {"collection": "teams", "key": team, "navigationProperty": "teammembership_association"}

    dwa.call("associate", {**place, "relatedCollection": "systemusers", "relatedKey": user})
    assert user in {row["systemuserid"] for row in dwa.call("retrieve", members)["value"]}

    dwa.call("disassociate", {**place, "relatedKey": user})
    assert user not in {row["systemuserid"] for row in dwa.call("retrieve", members)["value"]}


def test_writes_on_behalf_of_another_user(dwa: Any, emulator: RunningEmulator, client: Client, mark: str) -> None:
    user = emulator.control.add_user(mark, roles=(MARKETING_SYNC,))
    other = client.get(f"systemusers({user})?$select=azureactivedirectoryobjectid").json()
    request = {"collection": "leads", "data": {"lastname": mark}}

    by_user = dwa.call("create", {**request, "impersonate": other["systemuserid"]})
    by_object = dwa.call("create", {**request, "impersonateAAD": other["azureactivedirectoryobjectid"]})

    me = dwa.call("callFunction", "WhoAmI")["UserId"]
    for lead in (_read(dwa, by_user), _read(dwa, by_object)):
        assert (lead["_createdby_value"], lead["_createdonbehalfby_value"]) == (other["systemuserid"], me)


def test_sends_the_headers_of_a_careful_writer(dwa: Any, mark: str) -> None:
    request = {"collection": "leads", "bypassCustomPluginExecution": True, "duplicateDetection": True, "tag": "sync"}

    lead = dwa.call("create", {**request, "data": {"lastname": mark}, "noCache": True})

    assert _read(dwa, lead)["lastname"] == mark
