"""Microsoft's Python SDK: ``$batch`` and change sets."""

from uuid import UUID

import pandas as pd
import pytest
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.models.batch import BatchResult
from PowerPlatform.Dataverse.models.upsert import UpsertItem

NOBODY = "00000000-0000-0000-0000-00000000dead"


def _statuses(result: BatchResult) -> list[int]:
    return [answer.status_code for answer in result.responses]


def _names(sdk: DataverseClient, mark: str) -> list[str]:
    found = sdk.records.list("lead", filter=f"companyname eq '{mark}'", select=["lastname"], orderby=["lastname"])
    return [row["lastname"] for row in found]


def test_writes_in_order(sdk: DataverseClient, mark: str) -> None:
    first = sdk.records.create("lead", {"lastname": "A", "companyname": mark})
    batch = sdk.batch.new()
    batch.records.create("lead", {"lastname": "B", "companyname": mark})
    batch.records.create("lead", [{"lastname": "C", "companyname": mark}, {"lastname": "D", "companyname": mark}])
    batch.records.update("lead", first, {"lastname": "E"})
    batch.records.delete("lead", first)

    result = batch.execute()

    assert _statuses(result) == [204, 200, 204, 204]
    assert not result.has_errors
    assert UUID(result.entity_ids[0])
    assert len(result.responses[1].data["Ids"]) == 2
    assert _names(sdk, mark) == ["B", "C", "D"]


def test_writes_many_rows_at_once(sdk: DataverseClient, mark: str) -> None:
    made = sdk.records.create("lead", [{"lastname": name, "companyname": mark} for name in "ABC"])
    batch = sdk.batch.new()
    batch.records.update("lead", made[:2], {"jobtitle": "Buyer"})
    batch.records.update("lead", made[1:], [{"lastname": "Y"}, {"lastname": "Z"}])
    batch.records.delete("lead", made[:1], use_bulk_delete=False)
    batch.records.delete("lead", made[2:])

    result = batch.execute()

    assert _statuses(result) == [204, 204, 204, 200]
    assert UUID(result.responses[3].data["JobId"])
    assert _names(sdk, mark) == ["Y"]


def test_upserts_by_alternate_key(sdk: DataverseClient, mark: str) -> None:
    batch = sdk.batch.new()
    batch.records.upsert("lead", [UpsertItem({"acme_extid": mark}, {"lastname": "A", "companyname": mark})])
    batch.records.upsert(
        "lead",
        [
            UpsertItem({"acme_extid": mark}, {"lastname": "B"}),
            {"alternate_key": {"acme_extid": f"{mark}-2"}, "record": {"lastname": "C", "companyname": mark}},
        ],
    )

    result = batch.execute()

    assert _statuses(result) == [204, 204]
    assert _names(sdk, mark) == ["B", "C"]


def test_reads(sdk: DataverseClient, mark: str) -> None:
    lead = sdk.records.create("lead", {"lastname": "A or B", "companyname": mark, "leadsourcecode": 8})
    batch = sdk.batch.new()
    batch.records.retrieve("lead", lead, select=["lastname"], expand=["owninguser"], include_annotations="*")
    batch.records.list(
        "lead",
        filter=f"companyname eq '{mark}' and lastname eq 'A or B'",
        select=["leadsourcecode"],
        orderby=["lastname desc"],
        page_size=1,
        count=True,
        include_annotations="*",
    )
    with pytest.deprecated_call():
        batch.records.get("lead", lead, select=["leadsourcecode"])

    single, several, older = (answer.data for answer in batch.execute().responses)

    assert single["lastname"] == "A or B"
    assert single["owninguser"]["ownerid"]
    assert several["@odata.count"] == 1
    assert several["value"][0]["leadsourcecode@OData.Community.Display.V1.FormattedValue"] == "Web"
    assert older["leadsourcecode"] == 8


def test_reads_metadata(sdk: DataverseClient) -> None:
    batch = sdk.batch.new()
    batch.tables.get("lead")
    batch.tables.list(filter="LogicalName eq 'team'", select=["EntitySetName"])
    batch.tables.get_relationship("teammembership_association")

    table, tables, relationship = (answer.data["value"] for answer in batch.execute().responses)

    assert table[0]["EntitySetName"] == "leads"
    assert tables[0]["EntitySetName"] == "teams"
    assert relationship[0]["SchemaName"] == "teammembership_association"


def test_writes_frames(sdk: DataverseClient, mark: str) -> None:
    made = sdk.dataframe.create("lead", pd.DataFrame({"lastname": ["A", "B"], "companyname": mark}))
    batch = sdk.batch.new()
    batch.dataframe.create("lead", pd.DataFrame({"lastname": ["C"], "companyname": [mark]}))
    batch.dataframe.update("lead", pd.DataFrame({"leadid": made, "lastname": ["D", "E"]}), "leadid")
    batch.dataframe.delete("lead", made[:1], use_bulk_delete=False)

    assert not batch.execute().has_errors

    assert _names(sdk, mark) == ["C", "E"]


def test_stops_at_the_first_failure(sdk: DataverseClient, mark: str) -> None:
    batch = sdk.batch.new()
    batch.records.create("lead", {"lastname": "A", "companyname": mark})
    batch.records.update("lead", NOBODY, {"lastname": "B"})
    batch.records.create("lead", {"lastname": "C", "companyname": mark})

    result = batch.execute()

    assert _statuses(result) == [204, 404]
    assert result.failed[0].error_code == "0x80040217"
    assert NOBODY in (result.failed[0].error_message or "")
    assert _names(sdk, mark) == ["A"]


def test_goes_on_when_asked_to(sdk: DataverseClient, mark: str) -> None:
    batch = sdk.batch.new()
    batch.records.update("lead", NOBODY, {"lastname": "B"})
    batch.records.create("lead", {"lastname": "C", "companyname": mark})
    batch.query.sql("SELECT TOP 5 lastname FROM lead")

    result = batch.execute(continue_on_error=True)

    assert _statuses(result) == [404, 204, 501]
    assert [answer.status_code for answer in result.succeeded] == [204]
    assert _names(sdk, mark) == ["C"]


def test_a_change_set_refers_to_its_own_rows(sdk: DataverseClient, mark: str) -> None:
    old = sdk.records.create("lead", {"lastname": "Old", "companyname": mark})
    batch = sdk.batch.new()
    with batch.changeset() as change_set:
        contact = change_set.records.create("contact", {"lastname": mark})
        lead = change_set.records.create(
            "lead", {"lastname": "A", "companyname": mark, "parentcontactid@odata.bind": contact}
        )
        change_set.records.update("lead", lead, {"lastname": "B"})
        change_set.records.delete("lead", old)

    result = batch.execute()

    assert _statuses(result) == [204, 204, 204, 204]
    assert [answer.content_id for answer in result.responses] == ["1", "2", "3", "4"]
    found = sdk.records.list("lead", filter=f"companyname eq '{mark}'", expand=["parentcontactid"])
    assert [(row["lastname"], row["parentcontactid"]["lastname"]) for row in found] == [("B", mark)]


def test_a_change_set_is_all_or_nothing(sdk: DataverseClient, mark: str) -> None:
    batch = sdk.batch.new()
    with batch.changeset() as change_set:
        change_set.records.create("lead", {"lastname": "A", "companyname": mark})
        change_set.records.update("lead", NOBODY, {"lastname": "B"})

    result = batch.execute()

    assert _statuses(result) == [404]
    assert _names(sdk, mark) == []


def test_an_unknown_reference_is_refused(sdk: DataverseClient) -> None:
    batch = sdk.batch.new()
    with batch.changeset() as change_set:
        change_set.records.update("lead", "$7", {"lastname": "B"})

    failed = batch.execute().failed[0]

    assert failed.error_message == "Content-ID Reference: '$7' does not exist in the batch context."
