"""The rows of the sample belong together as in life."""

from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal

import pytest

from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import ColumnType, Table
from dynamics_emulator.storage.database import SqlValue
from dynamics_emulator.testing_client import Client

Row = Mapping[str, SqlValue]


def all_rows(organisation: Organisation) -> Iterator[tuple[Table, Row]]:
    for table in organisation.schema.tables.values():
        for row in organisation.database.rows(table.name):
            yield table, row


def test_lookups_point_at_rows(sample_organisation: Organisation) -> None:
    schema, database = sample_organisation.schema, sample_organisation.database
    keys = {name: {row[table.primary_id] for row in database.rows(name)} for name, table in schema.tables.items()}

    for table, row in all_rows(sample_organisation):
        for column in table.columns.values():
            if column.is_lookup and row[column.name] is not None:
                target = row[column.type_column] if column.is_polymorphic else column.targets[0]
                assert target in column.targets
                assert row[column.name] in keys[str(target)], (table.name, column.name)


def test_both_ends_of_many_to_many_rows_are_there(sample_organisation: Organisation) -> None:
    schema, database = sample_organisation.schema, sample_organisation.database
    for relationship in schema.many_to_many:
        rows = database.rows(relationship.intersect)
        kinds = "entitytype" in schema.table(relationship.intersect).columns
        for side in (relationship.first, relationship.second):
            table = schema.table(side.table)
            keys = {row[table.primary_id] for row in database.rows(table.name)}
            linked = [
                row[side.column]
                for row in rows
                if not kinds or side.column != "entityid" or row["entitytype"] == side.table
            ]
            assert set(linked) <= keys, relationship.name
        pairs = [(row[relationship.first.column], row[relationship.second.column]) for row in rows]
        assert len(set(pairs)) == len(pairs), relationship.name


def test_alternate_keys_are_unique(sample_organisation: Organisation) -> None:
    for table in sample_organisation.schema.tables.values():
        rows = sample_organisation.database.rows(table.name)
        for key in table.keys:
            found = [values for row in rows if None not in (values := tuple(row[name] for name in key.columns))]
            assert len(set(found)) == len(found), key.name


def test_connections_come_in_reciprocal_pairs(sample: Client) -> None:
    rows = {row["connectionid"]: row for row in sample.emulator.database.rows("connection")}

    for row in rows.values():
        other = rows[row["relatedconnectionid"]]
        assert other["relatedconnectionid"] == row["connectionid"]
        assert (other["record1id"], other["record2id"]) == (row["record2id"], row["record1id"])
        assert (other["record1roleid"], other["record2roleid"]) == (row["record2roleid"], row["record1roleid"])
        assert {row["ismaster"], other["ismaster"]} == {0, 1}


def test_qualified_leads_became_what_points_back_at_them(sample_organisation: Organisation) -> None:
    leads = by_key(sample_organisation, "lead")
    contacts, opportunities = by_key(sample_organisation, "contact"), by_key(sample_organisation, "opportunity")
    qualified = [lead for lead in leads.values() if lead["statecode"] == 1]

    assert len(qualified) > 20
    for lead in qualified:
        contact = contacts[lead["parentcontactid"]]
        assert contact["originatingleadid"] == lead["leadid"]
        # A tenant may require what the lead did not have.
        same = [name for name in ("lastname", "emailaddress1") if lead[name]]
        assert [contact[name] for name in same] == [lead[name] for name in same]
        assert str(contact["createdon"]) == lead["modifiedon"]
        sale = opportunities.get(lead["qualifyingopportunityid"])
        assert sale is None or sale["customerid"] in (contact["contactid"], contact["parentcustomerid"])
    origins = [row["originatingleadid"] for row in opportunities.values() if row["originatingleadid"]]
    assert origins
    assert {leads[key]["statecode"] for key in origins} == {1}


@pytest.mark.parametrize("name", ["account", "contact", "lead"])
def test_merged_rows_are_inactive_and_nothing_points_at_them(sample_organisation: Organisation, name: str) -> None:
    rows = by_key(sample_organisation, name)
    merged = {key for key, row in rows.items() if row["merged"]}

    assert merged
    for key in merged:
        assert rows[key]["statecode"] != 0
        assert rows[key]["masterid"] in rows.keys() - merged
    assert not merged & {row["masterid"] for row in rows.values()}
    for table, row in all_rows(sample_organisation):
        for column in table.columns.values():
            if name in column.targets:
                assert row[column.name] not in merged, (table.name, column.name)


@pytest.mark.parametrize(
    ("name", "parent", "deep"),
    [("account", "parentaccountid", 3), ("contact", "parentcustomerid", 2), ("systemuser", "parentsystemuserid", 3)],
)
def test_parents_form_no_circle(sample_organisation: Organisation, name: str, parent: str, deep: int) -> None:
    rows = by_key(sample_organisation, name)
    depths = []
    for key in rows:
        seen = [key]
        while (above := rows[seen[-1]][parent]) in rows:
            assert above not in seen
            seen.append(above)
        depths.append(len(seen))
    assert max(depths) >= deep


def test_primary_contacts_belong_to_their_account(sample_organisation: Organisation) -> None:
    contacts = by_key(sample_organisation, "contact")
    primary = {
        row["accountid"]: row["primarycontactid"]
        for row in sample_organisation.database.rows("account")
        if row["primarycontactid"]
    }

    assert len(primary) > 20
    assert all(contacts[contact]["parentcustomerid"] == account for account, contact in primary.items())


def test_base_amounts_are_the_amounts_by_their_rate(sample_organisation: Organisation) -> None:
    rates = {
        key: Decimal(str(row["exchangerate"]))
        for key, row in by_key(sample_organisation, "transactioncurrency").items()
    }
    seen: Counter[SqlValue] = Counter()
    for table, row in all_rows(sample_organisation):
        for column in table.columns.values():
            amount = row[column.name]
            if column.type is ColumnType.MONEY and not column.name.endswith("_base") and amount is not None:
                rate = rates[row["transactioncurrencyid"]]
                assert Decimal(str(row["exchangerate"])) == rate
                assert row[f"{column.name}_base"] == f"{Decimal(str(amount)) / rate:.4f}", (table.name, column.name)
                seen[row["transactioncurrencyid"]] += 1
    assert len(seen) == 4


def test_owners_are_users_and_teams_with_their_units(sample_organisation: Organisation) -> None:
    units = {
        key: row["businessunitid"]
        for name in ("systemuser", "team")
        for key, row in by_key(sample_organisation, name).items()
    }
    kinds: Counter[SqlValue] = Counter()
    for row in sample_organisation.database.rows("contact"):
        kinds[row["ownerid__type"]] += 1
        assert row["owninguser" if row["ownerid__type"] == "systemuser" else "owningteam"] == row["ownerid"]
        assert row["owningbusinessunit"] == units[row["ownerid"]]
    assert kinds["systemuser"] > kinds["team"] > 0


def test_business_units_are_a_tree_of_three_levels(sample_organisation: Organisation) -> None:
    units = by_key(sample_organisation, "businessunit")
    parents = {key: row["parentbusinessunitid"] for key, row in units.items()}
    grandchildren = [key for key, parent in parents.items() if parent and parents[parent]]
    assert list(parents.values()).count(None) == 1
    assert grandchildren


def test_users_have_rights_of_their_own_through_teams_or_none(sample_organisation: Organisation) -> None:
    users = set(by_key(sample_organisation, "systemuser"))
    direct = {row["systemuserid"] for row in sample_organisation.database.rows("systemuserroles")}
    through = {row["systemuserid"] for row in sample_organisation.database.rows("teammembership")}
    assert direct < users
    assert through - direct
    assert users - direct - through


def test_lists_know_how_many_members_they_have(sample_organisation: Organisation) -> None:
    members = Counter(row["listid"] for row in sample_organisation.database.rows("listmember"))
    lists = by_key(sample_organisation, "list")
    assert {key: row["membercount"] for key, row in lists.items()} == {key: members[key] for key in lists}
    kinds = {
        (lists[row["listid"]]["createdfromcode"], row["entitytype"])
        for row in sample_organisation.database.rows("listmember")
    }
    assert kinds == {(1, "account"), (2, "contact"), (4, "lead")}


def test_closed_opportunities_have_their_closing_activity(sample_organisation: Organisation) -> None:
    closed = {key for key, row in by_key(sample_organisation, "opportunity").items() if row["statecode"]}
    assert closed == {row["opportunityid"] for row in sample_organisation.database.rows("opportunityclose")}


def test_changes_come_after_creation(sample_organisation: Organisation) -> None:
    for table, row in all_rows(sample_organisation):
        if "modifiedon" in table.columns:
            assert str(row["createdon"]) <= str(row["modifiedon"]) < "2026-06", table.name


def by_key(organisation: Organisation, name: str) -> dict[SqlValue, dict[str, SqlValue]]:
    key = organisation.schema.table(name).primary_id
    return {row[key]: row for row in organisation.database.rows(name)}


@pytest.mark.parametrize(
    ("name", "least", "most", "query"),
    [
        ("qualified", 0.07, 0.11, "SELECT avg(statecode = 1) FROM lead"),
        ("disqualified", 0.08, 0.18, "SELECT avg(statecode = 2) FROM lead"),
        ("merged", 0.005, 0.02, "SELECT avg(merged) FROM contact"),
        ("of companies", 0.6, 0.8, "SELECT avg(ifnull(parentcustomerid__type, '') = 'account') FROM contact"),
        ("owned by teams", 0.08, 0.25, "SELECT avg(ownerid__type = 'team') FROM contact"),
        ("users that left", 0.05, 0.2, "SELECT avg(isdisabled) FROM systemuser"),
        ("shared mailboxes", 0.02, 0.08, "SELECT avg(emailaddress1 LIKE 'shared%') FROM lead"),
        ("of the base currency", 0.4, 0.8, "SELECT avg(exchangerate = '1.0000000000') FROM opportunity"),
        ("closed", 0.4, 0.8, "SELECT avg(statecode > 0) FROM opportunity"),
        ("of the busiest account", 0.02, 0.3, "SELECT max(n) * 1.0 / sum(n) FROM (SELECT count(*) AS n FROM contact "
         "WHERE parentcustomerid IS NOT NULL GROUP BY parentcustomerid)"),
    ],
)  # fmt: skip
def test_shares_are_as_in_life(
    sample_organisation: Organisation, name: str, least: float, most: float, query: str
) -> None:
    assert least <= sample_organisation.database.connection.execute(query).fetchone()[0] <= most, name
