"""The async client of Microsoft's Python SDK: the same surface once more, over aiohttp."""

from collections.abc import Callable
from uuid import UUID

import pandas as pd
import pytest
from PowerPlatform.Dataverse import col
from PowerPlatform.Dataverse.aio import AsyncDataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError, MetadataError
from PowerPlatform.Dataverse.models.upsert import UpsertItem

from dynamics_emulator.testing_client import Client

pytestmark = pytest.mark.anyio

NOBODY = "00000000-0000-0000-0000-00000000dead"
SQL = "SELECT TOP 5 lastname FROM lead"


async def _names(aio: AsyncDataverseClient, mark: str) -> list[str]:
    found = await aio.records.list("lead", filter=col("companyname") == mark, orderby=["lastname"])
    return [row["lastname"] for row in found]


async def test_creates_reads_updates_and_deletes(aio: AsyncDataverseClient, mark: str) -> None:
    lead = await aio.records.create("lead", {"lastname": "A", "companyname": mark, "leadsourcecode": "Web"})
    await aio.records.update("lead", lead, {"lastname": "B"})

    found = await aio.records.retrieve("lead", lead, select=["lastname", "leadsourcecode"], include_annotations="*")
    await aio.records.delete("lead", lead)

    assert found is not None
    assert (found["lastname"], found["leadsourcecode"]) == ("B", 8)
    assert await aio.records.retrieve("lead", lead) is None
    assert await aio.flush_cache("picklist") == 1


async def test_writes_many(aio: AsyncDataverseClient, mark: str) -> None:
    made = await aio.records.create("lead", [{"lastname": name, "companyname": mark} for name in "ABC"])
    await aio.records.update("lead", made[:2], [{"lastname": "Y"}, {"lastname": "Z"}])
    await aio.records.delete("lead", made[2:], use_bulk_delete=False)

    assert await _names(aio, mark) == ["Y", "Z"]

    job = await aio.records.delete("lead", made[:2])

    assert UUID(job)
    assert await _names(aio, mark) == []


async def test_upserts_by_alternate_key(aio: AsyncDataverseClient, mark: str) -> None:
    await aio.records.upsert("lead", [UpsertItem({"acme_extid": mark}, {"lastname": "A", "companyname": mark})])
    await aio.records.upsert(
        "lead",
        [
            UpsertItem({"acme_extid": mark}, {"lastname": "B"}),
            UpsertItem({"acme_extid": f"{mark}-2"}, {"lastname": "C", "companyname": mark}),
        ],
    )

    assert await _names(aio, mark) == ["B", "C"]


async def test_lists_over_many_pages(aio: AsyncDataverseClient, mark: str) -> None:
    await aio.records.create("lead", [{"lastname": f"L{number}", "companyname": mark} for number in range(7)])
    chosen = {"filter": f"companyname eq '{mark}'", "select": ["lastname"], "page_size": 3}

    pages = [page async for page in aio.records.list_pages("lead", **chosen)]

    assert [len(page) for page in pages] == [3, 3, 1]
    assert len(await aio.records.list("lead", **chosen)) == 7


async def test_builds_a_query(aio: AsyncDataverseClient, mark: str) -> None:
    await aio.records.create("lead", [{"lastname": f"L{number}", "companyname": mark} for number in range(5)])
    query = aio.query.builder("lead").select("lastname").where(col("companyname") == mark)

    whole = await query.order_by("lastname", descending=True).execute()
    pages = [page async for page in query.page_size(2).execute_pages()]

    assert [row["lastname"] for row in whole] == ["L4", "L3", "L2", "L1", "L0"]
    assert [len(page) for page in pages] == [2, 2, 1]


async def test_finds_columns_and_what_can_be_expanded(
    aio: AsyncDataverseClient, change_setting: Callable[..., None]
) -> None:
    change_setting(metadata_enum_literals_required=False)
    columns = {column["name"] for column in await aio.query.sql_columns("lead")}
    expands = {row["nav_property"]: row["target_entity_set"] for row in await aio.query.odata_expands("lead")}

    assert "lastname" in columns
    assert expands["customerid_account"] == "accounts"


async def test_fetchxml_and_sql_are_refused_plainly(aio: AsyncDataverseClient) -> None:
    fetch = aio.query.fetchxml("<fetch><entity name='lead'><attribute name='lastname'/></entity></fetch>")

    with pytest.raises(HttpError) as fetched:
        await fetch.execute()
    with pytest.raises(HttpError) as paged:
        await anext(fetch.execute_pages())
    with pytest.raises(HttpError) as selected:
        await aio.query.sql(SQL)
    with pytest.raises(HttpError) as framed:
        await aio.dataframe.sql(SQL)

    assert [error.value.status_code for error in (fetched, paged, selected, framed)] == [501] * 4


async def test_reads_metadata(aio: AsyncDataverseClient) -> None:
    table = await aio.tables.get("lead")
    tables = await aio.tables.list(filter="LogicalName eq 'lead'", select=["EntitySetName"])
    columns = await aio.tables.list_columns("lead", select=["LogicalName"], filter="LogicalName eq 'lastname'")
    column = await aio.tables.get_column("lead", "lastname")
    typed = await aio.tables.list_columns("lead", typed=True)
    keys = await aio.tables.get_alternate_keys("lead")

    assert table is not None
    assert table.entity_set_name == tables[0]["EntitySetName"] == "leads"
    assert [row["LogicalName"] for row in columns] == ["lastname"]
    assert column is not None
    assert column["MetadataId"] == columns[0]["MetadataId"]
    assert {row["LogicalName"]: row.get("MaxLength") for row in typed}["lastname"] == 50
    assert "acme_extid_key" in {key.schema_name.lower() for key in keys}


async def test_adds_changes_and_removes_columns_and_keys(aio: AsyncDataverseClient) -> None:
    await aio.tables.add_columns("account", {"acme_Code": {"type": "string", "max_length": 20}, "acme_Size": "int"})
    await aio.tables.update_column("account", "acme_code", {"max_length": 30})
    await aio.tables.update_columns("account", {"acme_size": {"display_name": "Size"}})
    key = await aio.tables.create_alternate_key("account", "acme_CodeKey", ["acme_code"])
    columns = {row["LogicalName"]: row for row in await aio.tables.list_columns("account", typed=True)}
    await aio.tables.delete_alternate_key("account", key.metadata_id)
    await aio.tables.remove_columns("account", ["acme_code", "acme_size"])

    assert columns["acme_code"]["MaxLength"] == 30
    assert columns["acme_size"]["DisplayName"]["UserLocalizedLabel"]["Label"] == "Size"
    assert await aio.tables.get_column("account", "acme_code") is None


async def test_reads_relationships(aio: AsyncDataverseClient) -> None:
    one = await aio.tables.get_relationship("teammembership_association")
    some = await aio.tables.list_relationships(filter="SchemaName eq 'teammembership_association'")
    of_team = await aio.tables.list_table_relationships("team")

    assert one is not None
    assert one.relationship_type == "many_to_many"
    assert len(some) == 1
    assert "teammembership_association" in {row["SchemaName"] for row in of_team}


async def test_writes_frames(aio: AsyncDataverseClient, mark: str) -> None:
    made = await aio.dataframe.create("lead", pd.DataFrame({"lastname": ["A", "B"], "companyname": mark}))
    await aio.dataframe.update("lead", pd.DataFrame({"leadid": made, "lastname": ["C", "D"]}), "leadid")
    await aio.dataframe.delete("lead", made[:1], use_bulk_delete=False)

    assert await _names(aio, mark) == ["D"]


async def test_runs_a_batch(aio: AsyncDataverseClient, mark: str) -> None:
    batch = aio.batch.new()
    batch.records.create("lead", {"lastname": "A", "companyname": mark})
    batch.records.update("lead", NOBODY, {"lastname": "B"})
    async with batch.changeset() as change_set:
        contact = change_set.records.create("contact", {"lastname": mark})
        change_set.records.create("lead", {"lastname": "C", "companyname": mark, "parentcontactid@odata.bind": contact})
    batch.records.list("lead", filter=f"companyname eq '{mark}'", select=["lastname"], orderby=["lastname"])

    result = await batch.execute(continue_on_error=True)

    assert [answer.status_code for answer in result.responses] == [204, 404, 204, 204, 200]
    assert [row["lastname"] for row in result.responses[-1].data["value"]] == ["A", "C"]


async def test_carries_the_code_of_the_server(aio: AsyncDataverseClient, client: Client) -> None:
    with pytest.raises(HttpError) as refused:
        await aio.records.update("lead", NOBODY, {"lastname": "A"})
    with pytest.raises(MetadataError):
        await aio.records.list("leads")

    assert refused.value.status_code == 404
    assert refused.value.details["service_error_code"] == client.error("GET", f"leads({NOBODY})")[1]


async def test_a_closed_client_sends_nothing(aio: AsyncDataverseClient) -> None:
    assert await aio.tables.get("lead") is not None

    await aio.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await aio.tables.get("lead")
