"""dynamics-web-api: lists, counts, metadata, change tracking, actions and functions."""

from collections.abc import Callable
from typing import Any

import pytest

Refusal = Callable[..., Any]


@pytest.fixture
def leads(dwa: Any, mark: str) -> list[str]:
    """The ids of five leads of one company."""
    rows = [{"lastname": f"L{number}", "companyname": mark, "leadsourcecode": 8} for number in range(5)]
    return [dwa.call("create", {"collection": "leads", "data": row}) for row in rows]


@pytest.fixture
def request_of(leads: list[str], mark: str) -> dict[str, Any]:
    """A request for them."""
    return {
        "collection": "leads",
        "select": ["lastname"],
        "filter": f"companyname eq '{mark}'",
        "orderBy": ["lastname desc"],
    }


def _names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["lastname"] for row in rows]


def test_reads_page_by_page(dwa: Any, request_of: dict[str, Any]) -> None:
    request = {**request_of, "maxPageSize": 2, "count": True, "includeAnnotations": "*"}

    first = dwa.call("retrieveMultiple", request)
    second = dwa.call("retrieveMultiple", request, first["oDataNextLink"])
    third = dwa.call("retrieveMultiple", request, second["oDataNextLink"])

    assert first["oDataCount"] == 5
    assert [_names(page["value"]) for page in (first, second, third)] == [["L4", "L3"], ["L2", "L1"], ["L0"]]
    assert "oDataNextLink" not in third


def test_reads_all_pages(dwa: Any, request_of: dict[str, Any]) -> None:
    found = dwa.call("retrieveAll", {**request_of, "maxPageSize": 2})

    assert _names(found["value"]) == ["L4", "L3", "L2", "L1", "L0"]


def test_reads_a_few(dwa: Any, request_of: dict[str, Any]) -> None:
    assert _names(dwa.call("retrieveMultiple", {**request_of, "top": 2})["value"]) == ["L4", "L3"]


def test_aggregates(dwa: Any, request_of: dict[str, Any], mark: str) -> None:
    apply = f"filter(companyname eq '{mark}')/groupby((leadsourcecode),aggregate($count as total))"

    found = dwa.call("retrieveMultiple", {"collection": "leads", "apply": apply})

    assert [(row["leadsourcecode"], row["total"]) for row in found["value"]] == [(8, 5)]


def test_counts(dwa: Any, request_of: dict[str, Any]) -> None:
    place = {"collection": "leads", "filter": request_of["filter"]}

    assert dwa.call("count", place) == 5
    assert dwa.call("countAll", {**place, "select": ["leadid"]}) == 5
    assert dwa.call("count", {"collection": "leads"}) > 5


def test_follows_changes(dwa: Any, leads: list[str]) -> None:
    request = {"collection": "leads", "select": ["lastname"], "trackChanges": True, "maxPageSize": 20}
    start = dwa.call("retrieveAll", request)
    dwa.call("update", {"collection": "leads", "key": leads[0], "data": {"lastname": "New"}})
    dwa.call("deleteRecord", {"collection": "leads", "key": leads[1]})

    changed = dwa.call("retrieveMultiple", {"collection": "leads"}, start["oDataDeltaLink"])
    nothing = dwa.call("retrieveMultiple", {"collection": "leads"}, changed["oDataDeltaLink"])

    assert set(leads) <= {row["leadid"] for row in start["value"]}
    assert (changed["value"][0]["leadid"], changed["value"][0]["lastname"]) == (leads[0], "New")
    assert (changed["value"][1]["id"], changed["value"][1]["reason"]) == (leads[1], "deleted")
    assert nothing["value"] == []
    assert nothing["oDataDeltaLink"]


def test_tracking_takes_no_filter(refusal: Refusal, request_of: dict[str, Any]) -> None:
    told = refusal("retrieveMultiple", {**request_of, "trackChanges": True})

    assert "isn't supported when Change Tracking is enabled" in told.told["message"]


def test_qualifies_a_lead(dwa: Any, leads: list[str], change_setting: Callable[..., None]) -> None:
    change_setting(qualify_lead_answer="rows")
    action = {"CreateAccount": True, "CreateContact": True, "CreateOpportunity": False, "Status": 3}
    place = {"collection": "leads", "key": leads[0], "actionName": "Microsoft.Dynamics.CRM.QualifyLead"}

    made = dwa.call("callAction", {**place, "action": action})["value"]

    lead = dwa.call("retrieve", {"collection": "leads", "key": leads[0]})
    assert (lead["statecode"], lead["statuscode"]) == (1, 3)
    assert {row["@odata.type"] for row in made} == {
        "#Microsoft.Dynamics.CRM.account",
        "#Microsoft.Dynamics.CRM.contact",
    }


def test_merges_two_leads(dwa: Any, leads: list[str]) -> None:
    kind = "Microsoft.Dynamics.CRM.lead"
    action = {
        "Target": {"leadid": leads[0], "@odata.type": kind},
        "Subordinate": {"leadid": leads[1], "@odata.type": kind},
        "UpdateContent": {"@odata.type": kind, "jobtitle": "CTO"},
        "PerformParentingChecks": False,
    }

    dwa.call("callAction", {"actionName": "Merge", "action": action})

    target, other = (dwa.call("retrieve", {"collection": "leads", "key": lead}) for lead in leads[:2])
    assert target["jobtitle"] == "CTO"
    assert (other["merged"], other["_masterid_value"]) == (True, leads[0])


def test_creates_and_updates_many_at_once(dwa: Any, mark: str) -> None:
    kind = "Microsoft.Dynamics.CRM.lead"
    place = {"collection": "leads", "actionName": "Microsoft.Dynamics.CRM.CreateMultiple"}
    rows = [{"@odata.type": kind, "lastname": name, "companyname": mark} for name in "AB"]

    made = dwa.call("callAction", {**place, "action": {"Targets": rows}})["Ids"]
    changes = [{"@odata.type": kind, "leadid": lead, "jobtitle": "Buyer"} for lead in made]
    place = {"collection": "leads", "actionName": "Microsoft.Dynamics.CRM.UpdateMultiple"}
    dwa.call("callAction", {**place, "action": {"Targets": changes}})

    found = dwa.call("retrieveMultiple", {"collection": "leads", "filter": f"companyname eq '{mark}'"})["value"]
    assert [(row["leadid"] in made, row["jobtitle"]) for row in found] == [(True, "Buyer")] * 2


def test_calls_functions(dwa: Any) -> None:
    who = dwa.call("callFunction", "WhoAmI")
    counts = dwa.call("callFunction", {"name": "RetrieveTotalRecordCount", "parameters": {"EntityNames": ["lead"]}})
    organisation = dwa.call(
        "callFunction",
        {
            "name": "RetrieveCurrentOrganization",
            "parameters": {"AccessType": "Microsoft.Dynamics.CRM.EndpointAccessType'Default'"},
        },
    )

    assert organisation["Detail"]["OrganizationId"] == who["OrganizationId"]
    assert counts["EntityRecordCountCollection"]["Keys"] == ["lead"]


def test_reads_metadata(dwa: Any) -> None:
    key = "LogicalName='lead'"
    strings = "Microsoft.Dynamics.CRM.StringAttributeMetadata"
    tables = dwa.call("retrieveEntities", {"select": ["EntitySetName"], "filter": "LogicalName eq 'lead'"})["value"]
    by_name = dwa.call("retrieveEntity", {"key": key, "select": ["EntitySetName"], "expand": [{"property": "Keys"}]})
    by_id = dwa.call("retrieveEntity", {"key": tables[0]["MetadataId"], "select": ["EntitySetName"]})
    columns = dwa.call("retrieveAttributes", {"entityKey": key, "castType": strings, "select": ["MaxLength"]})["value"]
    name = dwa.call(
        "retrieveAttribute", {"entityKey": key, "attributeKey": "LogicalName='lastname'", "castType": strings}
    )

    assert [tables[0]["EntitySetName"], by_name["EntitySetName"], by_id["EntitySetName"]] == ["leads"] * 3
    assert "acme_extid_key" in {row["LogicalName"] for row in by_name["Keys"]}
    assert all(isinstance(row["MaxLength"], int) for row in columns)
    assert name["MaxLength"] == 50


def test_adds_and_changes_a_column(dwa: Any) -> None:
    key = "LogicalName='lead'"
    label = {"LocalizedLabels": [{"Label": "Badge", "LanguageCode": 1033}]}
    column = {
        "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata",
        "SchemaName": "acme_Badge",
        "DisplayName": label,
        "RequiredLevel": {"Value": "None"},
        "MaxLength": 20,
    }
    place = {"entityKey": key, "attributeKey": "LogicalName='acme_badge'"}
    cast = {"castType": "Microsoft.Dynamics.CRM.StringAttributeMetadata"}

    dwa.call("createAttribute", {"entityKey": key, "data": column})
    found = dwa.call("retrieveAttribute", {**place, **cast})
    dwa.call("updateAttribute", {"entityKey": key, "data": {**found, "MaxLength": 30}, **cast})

    assert found["MaxLength"] == 20
    assert dwa.call("retrieveAttribute", {**place, **cast})["MaxLength"] == 30


def test_reads_relationships_and_option_sets(dwa: Any) -> None:
    one_to_many = "Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata"
    found = dwa.call(
        "retrieveRelationships",
        {
            "castType": one_to_many,
            "select": ["SchemaName", "ReferencingEntityNavigationPropertyName"],
            "filter": "ReferencingEntity eq 'lead' and ReferencingAttribute eq 'slaid'",
        },
    )["value"]
    again = dwa.call("retrieveRelationship", {"key": found[0]["MetadataId"], "castType": one_to_many})
    lists = dwa.call("retrieveGlobalOptionSets", {"select": ["Name"]})["value"]
    tiers = dwa.call("retrieveGlobalOptionSet", {"key": "Name='acme_attendancestatus'"})

    assert found[0]["ReferencingEntityNavigationPropertyName"] == "sla_lead_sla"
    assert again["SchemaName"] == found[0]["SchemaName"]
    assert "acme_attendancestatus" in {row["Name"] for row in lists}
    assert tiers["Options"][0]["Label"]["UserLocalizedLabel"]["Label"]


def test_reads_the_csdl(dwa: Any) -> None:
    plain = dwa.call("retrieveCsdlMetadata")
    annotated = dwa.call("retrieveCsdlMetadata", {"addAnnotations": True})

    assert '<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm"' in plain
    assert "Org.OData.Capabilities.V1.ChangeTracking" in annotated
    assert "Org.OData.Capabilities.V1.ChangeTracking" not in plain


def test_finds_set_names_by_table_names(dwa: Any, leads: list[str]) -> None:
    dwa.configure(useEntityNames=True)

    found = dwa.call("retrieve", {"collection": "lead", "key": leads[0]})

    dwa.configure(useEntityNames=False)
    assert found["lastname"] == "L0"


@pytest.mark.parametrize("method", ["fetch", "fetchAll"])
def test_fetchxml_is_refused_plainly(refusal: Refusal, method: str) -> None:
    xml = "<fetch><entity name='lead'><attribute name='lastname'/></entity></fetch>"

    told = refusal(method, {"collection": "leads", "fetchXml": xml})

    assert told.status == 501
