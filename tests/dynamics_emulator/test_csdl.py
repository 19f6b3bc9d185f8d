"""``$metadata``: well formed, and every name that it mentions is declared."""

from xml.etree import ElementTree as Xml

from dynamics_emulator.schema.source import default_schema
from dynamics_emulator.testing_client import Client

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
CRM = "Microsoft.Dynamics.CRM"


def _document(client: Client, query: str = "") -> Xml.Element:
    answer = client.get(f"$metadata{query}")
    assert answer.headers["Content-Type"].startswith("application/xml")
    found = Xml.fromstring(answer.content).find(f".//{EDM}Schema")  # noqa: S314 - the emulator under test wrote it
    assert found is not None
    return found


def _named(root: Xml.Element, kind: str, name: str) -> Xml.Element:
    [found] = [element for element in root.iter(f"{EDM}{kind}") if element.get("Name") == name]
    return found


def _children(element: Xml.Element, kind: str) -> dict[str, Xml.Element]:
    return {str(child.get("Name")): child for child in element.findall(f"{EDM}{kind}")}


def test_types_have_keys_and_properties(sample: Client) -> None:
    root = _document(sample)
    lead, user = _named(root, "EntityType", "lead"), _named(root, "EntityType", "systemuser")

    assert [key.get("Name") for key in lead.iter(f"{EDM}PropertyRef")] == ["leadid"]
    # Users and teams have the key of their base type.
    assert user.get("BaseType") == "mscrm.principal"
    assert not list(user.iter(f"{EDM}PropertyRef"))
    principal = _named(root, "EntityType", "principal")
    assert [key.get("Name") for key in principal.iter(f"{EDM}PropertyRef")] == ["ownerid"]
    properties = _children(lead, "Property")
    assert properties["leadid"].get("Nullable") == "false"
    assert properties["_ownerid_value"].get("Type") == "Edm.Guid"
    assert properties["estimatedclosedate"].get("Type") == "Edm.Date"
    assert properties["createdon"].get("Type") == "Edm.DateTimeOffset"
    assert "owneridname" not in properties


def test_navigation_properties(sample: Client) -> None:
    root = _document(sample)
    attendance = _children(_named(root, "EntityType", "acme_eventattendance"), "NavigationProperty")
    contact = _children(_named(root, "EntityType", "contact"), "NavigationProperty")

    assert attendance["acme_ContactId"].get("Type") == "mscrm.contact"
    partner = str(attendance["acme_ContactId"].get("Partner"))
    assert contact[partner].get("Type") == "Collection(mscrm.acme_eventattendance)"
    assert contact["acme_interest_contact"].get("Type") == "Collection(mscrm.acme_interest)"
    assert contact["ownerid"].get("Type") == "mscrm.principal"


def test_every_type_and_set_that_is_mentioned_is_declared(sample: Client) -> None:
    root = _document(sample)
    kinds = ("EntityType", "ComplexType", "EnumType")
    declared = {str(item.get("Name")) for kind in kinds for item in root.findall(f"{EDM}{kind}")}
    mentioned = set()
    for element in root.iter():
        for attribute in ("Type", "BaseType", "EntityType"):
            name = str(element.get(attribute, "")).removeprefix("Collection(").removesuffix(")")
            if name and not name.startswith("Edm."):
                mentioned.add(name.removeprefix("mscrm.").removeprefix(f"{CRM}."))
    sets = {str(item.get("Name")) for item in root.iter(f"{EDM}EntitySet")}
    targets = {str(item.get("Target")) for item in root.iter(f"{EDM}NavigationPropertyBinding")}

    assert mentioned <= declared
    assert sets == set(default_schema().sets)
    assert targets <= sets


def test_partners_and_constraints_resolve(sample: Client) -> None:
    root = _document(sample)
    types = {str(item.get("Name")): item for item in root.findall(f"{EDM}EntityType")}
    for owner in types.values():
        own = _children(owner, "Property")
        for navigation in owner.findall(f"{EDM}NavigationProperty"):
            target = str(navigation.get("Type")).removeprefix("Collection(").removesuffix(")").removeprefix("mscrm.")
            partner = navigation.get("Partner")
            assert partner is None or partner in _children(types[target], "NavigationProperty")
            for constraint in navigation.findall(f"{EDM}ReferentialConstraint"):
                assert constraint.get("Property") in own


def test_functions_and_actions(sample: Client) -> None:
    root = _document(sample)
    container = root.find(f"{EDM}EntityContainer")
    assert container is not None
    imported = _children(container, "ActionImport") | _children(container, "FunctionImport")

    assert {"WhoAmI", "RetrieveVersion", "Merge", "WinOpportunity", "BulkDelete", "PublishAllXml"} <= set(imported)
    qualify = _named(root, "Action", "QualifyLead")
    assert qualify.get("IsBound") == "true"
    parameters = [str(item.get("Name")) for item in qualify.findall(f"{EDM}Parameter")]
    assert parameters[:5] == ["entity", "CreateAccount", "CreateContact", "CreateOpportunity", "Status"]
    upserts = [item for item in root.findall(f"{EDM}Action") if item.get("Name") == "UpsertMultiple"]
    assert len(upserts) == len(default_schema().tables)


def test_annotations_come_when_asked_for(sample: Client) -> None:
    plain, annotated = _document(sample), _document(sample, "?annotations=true")

    assert not list(plain.iter(f"{EDM}Annotation"))
    term = "Org.OData.Capabilities.V1.ChangeTracking"
    tracked = {
        str(item.get("Name"))
        for item in annotated.iter(f"{EDM}EntitySet")
        if any(note.get("Term") == term for note in item.findall(f"{EDM}Annotation"))
    }
    assert "leads" in tracked
    assert "teammemberships" not in tracked
