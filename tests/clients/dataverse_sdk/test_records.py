"""Microsoft's Python SDK: rows one by one and in bulk."""

from uuid import UUID

import pytest
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.models.upsert import UpsertItem

from dynamics_emulator.testing_client import Client

FORMATTED = "OData.Community.Display.V1.FormattedValue"
NOBODY = "00000000-0000-0000-0000-00000000dead"


def _named(sdk: DataverseClient, mark: str, *select: str) -> list[dict[str, object]]:
    found = sdk.records.list("lead", filter=f"companyname eq '{mark}'", select=list(select), orderby=["lastname"])
    return [row.to_dict() for row in found]


def test_creates_with_a_label_and_retrieves_with_its_annotation(sdk: DataverseClient, mark: str) -> None:
    lead_id = sdk.records.create("lead", {"LastName": "Okafor", "companyname": mark, "leadsourcecode": " wéb "})

    lead = sdk.records.retrieve("lead", lead_id, select=["lastname", "leadsourcecode"], include_annotations="*")

    assert UUID(lead_id)
    assert lead is not None
    assert lead.etag is not None
    assert lead.etag.startswith('W/"')
    assert (lead["lastname"], lead["leadsourcecode"]) == ("Okafor", 8)
    assert lead[f"leadsourcecode@{FORMATTED}"] == "Web"
    assert lead["leadid"] == lead_id


def test_retrieves_an_expanded_lookup(sdk: DataverseClient, mark: str) -> None:
    contact_id = sdk.records.create("contact", {"lastname": mark})
    lead_id = sdk.records.create(
        "lead", {"lastname": "Okafor", "parentcontactid@odata.bind": f"/contacts({contact_id})"}
    )

    lead = sdk.records.retrieve("lead", lead_id, select=["lastname"], expand=["parentcontactid"])

    assert lead is not None
    assert lead["parentcontactid"]["lastname"] == mark


def test_a_row_that_is_not_there_is_none(sdk: DataverseClient) -> None:
    assert sdk.records.retrieve("lead", NOBODY) is None


def test_creates_many_in_order(sdk: DataverseClient, mark: str) -> None:
    rows = [{"lastname": f"L{number}", "companyname": mark, "leadsourcecode": "Web"} for number in range(3)]

    made = sdk.records.create("lead", rows)

    assert [row["leadid"] for row in _named(sdk, mark, "leadid")] == made


def test_updates_one_row(sdk: DataverseClient, mark: str) -> None:
    lead_id = sdk.records.create("lead", {"lastname": "Okafor", "companyname": mark})

    sdk.records.update("lead", lead_id, {"lastname": "Okafor-Lee", "leadsourcecode": "Other"})

    assert _named(sdk, mark, "lastname", "leadsourcecode")[0]["lastname"] == "Okafor-Lee"


def test_updates_many_rows_alike_and_each_in_its_own_way(sdk: DataverseClient, mark: str) -> None:
    made = sdk.records.create("lead", [{"lastname": "A", "companyname": mark}, {"lastname": "B", "companyname": mark}])

    sdk.records.update("lead", made, {"jobtitle": "Buyer"})
    sdk.records.update("lead", made, [{"lastname": "C"}, {"lastname": "D"}])

    found = _named(sdk, mark, "lastname", "jobtitle")
    assert [(row["lastname"], row["jobtitle"]) for row in found] == [("C", "Buyer"), ("D", "Buyer")]


def test_deletes_one_row(sdk: DataverseClient, mark: str) -> None:
    lead_id = sdk.records.create("lead", {"lastname": "Okafor", "companyname": mark})

    assert sdk.records.delete("lead", lead_id) is None

    assert _named(sdk, mark) == []


def test_deletes_many_rows_one_by_one(sdk: DataverseClient, mark: str) -> None:
    made = sdk.records.create("lead", [{"lastname": name, "companyname": mark} for name in "ABC"])

    assert sdk.records.delete("lead", made, use_bulk_delete=False) is None

    assert _named(sdk, mark) == []


def test_deletes_many_rows_with_a_job(sdk: DataverseClient, client: Client, mark: str) -> None:
    made = sdk.records.create("lead", [{"lastname": name, "companyname": mark} for name in "ABC"])

    job = sdk.records.delete("lead", made[:2])

    assert job is not None
    assert [row["leadid"] for row in _named(sdk, mark, "leadid")] == made[2:]
    assert client.get(f"asyncoperations({job})").json()["statecode"] == 3


def test_upserts_one_row_by_its_alternate_key(sdk: DataverseClient, mark: str) -> None:
    item = UpsertItem(alternate_key={"acme_extid": mark}, record={"lastname": "Okafor", "companyname": mark})
    again = {"alternate_key": {"acme_extid": mark}, "record": {"lastname": "Okafor-Lee"}}

    sdk.records.upsert("lead", [item])
    sdk.records.upsert("lead", [again])

    found = _named(sdk, mark, "lastname", "acme_extid")
    assert [(row["lastname"], row["acme_extid"]) for row in found] == [("Okafor-Lee", mark)]


def test_upserts_many_rows_by_their_alternate_key(sdk: DataverseClient, mark: str) -> None:
    def item(number: int, lastname: str) -> UpsertItem:
        return UpsertItem({"acme_extid": f"{mark}-{number}'"}, {"lastname": lastname, "companyname": mark})

    sdk.records.upsert("lead", [item(1, "A"), item(2, "B")])
    sdk.records.upsert("lead", [item(2, "C"), item(3, "D")])

    found = _named(sdk, mark, "lastname", "acme_extid")
    assert [(row["lastname"], row["acme_extid"]) for row in found] == [
        ("A", f"{mark}-1'"),
        ("C", f"{mark}-2'"),
        ("D", f"{mark}-3'"),
    ]


def test_upserts_by_a_key_of_two_columns(sdk: DataverseClient, mark: str) -> None:
    key = {"acme_code": mark[:20], "acme_edition": 2026}

    for name in ("Fair", "Great fair"):
        sdk.records.upsert("acme_event", [UpsertItem(key, {"acme_name": name})])

    events = sdk.records.list("acme_event", filter=f"acme_code eq '{mark[:20]}'")
    assert [(row["acme_name"], row["acme_edition"]) for row in events] == [("Great fair", 2026)]


def test_lists_over_many_pages(sdk: DataverseClient, mark: str) -> None:
    made = sdk.records.create("lead", [{"lastname": f"L{number}", "companyname": mark} for number in range(7)])

    found = sdk.records.list(
        "lead",
        filter=f"companyname eq '{mark}'",
        select=["leadid"],
        orderby=["lastname desc"],
        page_size=3,
        count=True,
        include_annotations="*",
    )

    assert [row["leadid"] for row in found] == made[::-1]


def test_lists_page_by_page(sdk: DataverseClient, mark: str) -> None:
    sdk.records.create("lead", [{"lastname": f"L{number}", "companyname": mark} for number in range(7)])

    pages = sdk.records.list_pages("lead", filter=f"companyname eq '{mark}'", select=["lastname"], page_size=3)

    assert [len(page) for page in pages] == [3, 3, 1]


def test_lists_no_more_than_asked_for(sdk: DataverseClient, mark: str) -> None:
    sdk.records.create("lead", [{"lastname": f"L{number}", "companyname": mark} for number in range(3)])

    found = sdk.records.list(
        "lead", filter=f"companyname eq '{mark}'", orderby=["lastname"], top=2, expand=["owninguser($select=fullname)"]
    )

    assert [row["lastname"] for row in found] == ["L0", "L1"]
    assert all(row["owninguser"]["systemuserid"] == row["owninguser"]["ownerid"] for row in found)


def test_the_older_way_of_reading(sdk: DataverseClient, mark: str) -> None:
    made = sdk.records.create("lead", [{"lastname": f"L{number}", "companyname": mark} for number in range(3)])

    with pytest.deprecated_call():
        single = sdk.records.get("lead", made[0], select=["lastname"])
    with pytest.deprecated_call():
        pages = sdk.records.get("lead", filter=f"companyname eq '{mark}'", select=["lastname"], page_size=2)

    assert single["lastname"] == "L0"
    assert [len(page) for page in pages] == [2, 1]


def test_a_set_name_that_is_no_plural(sdk: DataverseClient, mark: str) -> None:
    made = sdk.records.create("acme_attendancefeedback", {"acme_name": mark})

    found = sdk.records.retrieve("acme_attendancefeedback", made, select=["acme_name"])

    assert found is not None
    assert found["acme_name"] == mark
