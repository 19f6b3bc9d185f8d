"""Which navigation property a lookup is written through."""

import json
from types import MappingProxyType

import pytest

from dynamics_sync import errors
from dynamics_sync.dataverse.bindings import Bindings, read_bindings
from dynamics_sync.dataverse.metadata import ColumnMetadata, TableMetadata

ROW = "00000000-0000-0000-0000-00000000000a"


def relationship(column: str, navigation: str | None, target: str) -> dict:
    names = ("ReferencingAttribute", "ReferencingEntityNavigationPropertyName", "ReferencedEntity")
    return dict(zip(names, (column, navigation, target), strict=True))


RELATIONSHIPS = [
    relationship("parentcustomerid", "parentcustomerid_contact", "contact"),
    relationship("parentcustomerid", "parentcustomerid_account", "account"),
    relationship("slaid", "sla_contact_sla", "sla"),
    relationship("ownerid", "ownerid", "owner"),
    relationship("stageid", "stageid_processstage", "processstage"),
    relationship("hidden", None, "account"),
]
SETS = {
    "account": "accounts", "contact": "contacts", "sla": "slas", "systemuser": "systemusers", "team": "teams",
    "processstage": None, "owner": "owners",
}  # fmt: skip
OWNER = ColumnMetadata("ownerid", "Owner", "_ownerid_value", targets=("systemuser", "team"))


def contact(**columns: ColumnMetadata) -> TableMetadata:
    found = MappingProxyType({"ownerid": OWNER, **columns})
    return TableMetadata("contact", "contacts", "contactid", "fullname", True, True, found)


@pytest.fixture
def served(rig, reply):
    """Return a rig that answers the one `$batch` of a read."""
    definitions = [{"LogicalName": name, "EntitySetName": set_name} for name, set_name in SETS.items()]

    def build(relationships=RELATIONSHIPS):
        body = b"".join(
            b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\n\r\n%s\r\n"
            % json.dumps({"value": rows}).encode()
            for rows in (relationships, definitions)
        )
        return rig([reply(200, body + b"--b--\r\n", {"Content-Type": "multipart/mixed; boundary=b"})])

    return build


@pytest.fixture
def bindings(served) -> Bindings:
    made = served()
    found = read_bindings(made.client, contact(), ["parentcustomerid", "slaid", "ownerid", "slaid"])
    assert len(made.wire.asked) == 1
    asked = made.wire.asked[0].body
    assert b"OneToManyRelationshipMetadata?$select=ReferencingAttribute," in asked
    assert b"&$filter=ReferencingEntity%20eq%20'contact' HTTP" in asked
    return found


@pytest.mark.parametrize(
    ("column", "target", "member", "value"),
    [
        ("parentcustomerid", "account", "parentcustomerid_account@odata.bind", f"/accounts({ROW})"),
        ("parentcustomerid", "contact", "parentcustomerid_contact@odata.bind", f"/contacts({ROW})"),
        ("slaid", "sla", "sla_contact_sla@odata.bind", f"/slas({ROW})"),
        ("ownerid", "systemuser", "ownerid@odata.bind", f"/systemusers({ROW})"),
        ("ownerid", "team", "ownerid@odata.bind", f"/teams({ROW})"),
    ],
)
def test_a_lookup_is_bound_by_the_name_that_dynamics_gave(bindings, column, target, member, value) -> None:
    assert bindings.bind(column, target, ROW) == (member, value)


def test_a_lookup_is_cleared_by_one_property_whatever_order_dynamics_answers_in(bindings, served) -> None:
    assert bindings.clear("parentcustomerid") == ("parentcustomerid_account@odata.bind", None)
    turned = read_bindings(served(RELATIONSHIPS[::-1]).client, contact(), ["parentcustomerid"])
    assert turned.clear("parentcustomerid") == bindings.clear("parentcustomerid")


def test_the_targets_are_known(bindings) -> None:
    assert bindings.targets("parentcustomerid") == ("account", "contact")
    assert bindings.targets("ownerid") == ("systemuser", "team")


def test_owners_are_users_and_teams_where_the_column_does_not_say(served) -> None:
    table = contact(ownerid=ColumnMetadata("ownerid", "Owner", "_ownerid_value", targets=("owner",)))
    assert read_bindings(served().client, table, ["ownerid"]).targets("ownerid") == ("systemuser", "team")


def test_an_owner_may_be_named_by_its_tables_too(served) -> None:
    rows = [relationship("ownerid", "ownerid", target) for target in ("systemuser", "team")]
    assert read_bindings(served(rows).client, contact(), ["ownerid"]).targets("ownerid") == ("systemuser", "team")


def test_a_table_that_the_column_cannot_point_at(bindings) -> None:
    with pytest.raises(errors.ColumnMissing, match="parentcustomerid of table contact cannot point at table lead"):
        bindings.bind("parentcustomerid", "lead", ROW)
    with pytest.raises(errors.ColumnMissing, match="stageid of table contact has no relationship"):
        bindings.bind("stageid", "processstage", ROW)
    with pytest.raises(errors.ColumnMissing, match="lastname"):
        bindings.clear("lastname")


@pytest.mark.parametrize("column", ["lastname", "stageid", "hidden"])
def test_a_column_that_cannot_be_written_through_anything(served, column) -> None:
    """No relationship, a target without an address, a relationship without a property."""
    with pytest.raises(errors.ColumnMissing, match=f"Column {column} of table contact"):
        read_bindings(served().client, contact(), ["slaid", column])


def test_nothing_is_asked_for_no_column(rig) -> None:
    made = rig([])
    assert read_bindings(made.client, contact(), []).navigations == {}
    assert made.wire.asked == []
