"""What the deletion of a row does to other rows: removed links, rows that go along, and refusals."""

from typing import Any

from dynamics_emulator.testing_client import Client


def _only(client: Client, table: str) -> dict[str, Any]:
    [row] = client.emulator.database.rows(table)
    return row


def _deleted(client: Client, table: str) -> list[str]:
    query = 'SELECT id FROM "_deleted" WHERE table_name = ? ORDER BY version'
    return [key for (key,) in client.emulator.database.connection.execute(query, (table,))]


def _bind(client: Client, address: str) -> str:
    return address.removeprefix(client.emulator.api)


def test_deleting_a_parent_clears_the_lookups_at_it(client: Client) -> None:
    account = client.create("accounts", name="Acme")
    client.create("leads", **{"lastname": "Ada", "parentaccountid@odata.bind": _bind(client, account)})
    before = _only(client, "lead")["versionnumber"]

    client.call("DELETE", account)

    row = _only(client, "lead")
    assert row["parentaccountid"] is None
    assert row["versionnumber"] > before


def test_children_go_along_and_change_tracking_knows(client: Client) -> None:
    account = client.create("accounts", name="Acme")
    contact = client.create(
        "contacts", **{"lastname": "Ada", "parentcustomerid_account@odata.bind": _bind(client, account)}
    )
    below = client.create(
        "contacts", **{"lastname": "Ben", "parentcustomerid_contact@odata.bind": _bind(client, contact)}
    )

    assert client.call("DELETE", account).status_code == 204
    assert client.emulator.database.count("contact") == 0
    assert _deleted(client, "contact") == [below[-37:-1], contact[-37:-1]]


def test_rows_that_point_at_each_other_can_go(client: Client) -> None:
    one = client.create("contacts", lastname="One")
    two = client.create("contacts", **{"lastname": "Two", "parentcustomerid_contact@odata.bind": _bind(client, one)})
    client.call("PATCH", one, json={"parentcustomerid_contact@odata.bind": _bind(client, two)})

    assert client.call("DELETE", one).status_code == 204
    assert client.emulator.database.count("contact") == 0
    assert sorted(_deleted(client, "contact")) == sorted([one[-37:-1], two[-37:-1]])


def test_two_levels_of_custom_tables(client: Client) -> None:
    attendance = client.create("acme_eventattendanceset", acme_name="Visit")
    [name] = [
        name
        for name in client.emulator.organisation.schema.table("acme_attendancefeedback").navigations
        if name.lower() == "acme_attendanceid"
    ]
    client.create("acme_attendancefeedbackcollection", **{f"{name}@odata.bind": _bind(client, attendance)})

    assert client.call("DELETE", attendance).status_code == 204
    assert client.emulator.database.count("acme_attendancefeedback") == 0


def test_restricted_deletion_is_refused_and_changes_nothing(client: Client) -> None:
    currency = client.create(
        "transactioncurrencies",
        currencyname="Pound",
        isocurrencycode="GBP",
        currencysymbol="£",
        currencyprecision=2,
        exchangerate=0.85,
    )
    opportunity = client.create(
        "opportunities", **{"name": "Deal", "transactioncurrencyid@odata.bind": _bind(client, currency)}
    )

    answer = client.call("DELETE", currency)

    text = "The object you tried to delete is associated with another object and cannot be deleted."
    assert (answer.status_code, answer.json()["error"]) == (405, {"code": "0x80040227", "message": text})
    client.call("DELETE", opportunity)
    assert client.call("DELETE", currency).status_code == 204


def test_currency_of_a_row_of_any_table_cannot_be_deleted(client: Client) -> None:
    currency = client.create(
        "transactioncurrencies",
        currencyname="Pound",
        isocurrencycode="GBP",
        currencysymbol="£",
        currencyprecision=2,
        exchangerate=0.85,
    )
    campaign = client.create(
        "campaigns", **{"name": "Spring", "transactioncurrencyid@odata.bind": _bind(client, currency)}
    )

    assert client.error("DELETE", currency) == (405, "0x80040227")
    client.call("DELETE", campaign)
    assert client.call("DELETE", currency).status_code == 204


def test_base_currency_cannot_be_deleted(client: Client) -> None:
    [base] = client.rows("transactioncurrencies?$select=currencyname")

    assert client.error("DELETE", f"transactioncurrencies({base['transactioncurrencyid']})") == (405, "0x80040227")
    assert client.emulator.database.count("transactioncurrency") == 1


def test_team_that_owns_rows_cannot_be_deleted(client: Client) -> None:
    team = client.create("teams", name="Desk")
    client.emulator.control.change_settings(owner_needs_privilege=False)
    lead = client.create("leads", **{"lastname": "x", "ownerid@odata.bind": _bind(client, team)})

    assert client.error("DELETE", team) == (405, "0x80040227")
    client.call("DELETE", lead)
    assert client.call("DELETE", team).status_code == 204


def test_connection_gets_its_other_half_and_dies_with_its_ends(client: Client) -> None:
    contact = client.create("contacts", lastname="Ada")
    opportunity = client.create("opportunities", name="Deal")
    role = client.create("connectionroles", name="Champion")
    ends = {
        "record1id_opportunity@odata.bind": _bind(client, opportunity),
        "record2id_contact@odata.bind": _bind(client, contact),
        "record2roleid@odata.bind": _bind(client, role),
    }
    client.create("connections", **ends)

    one, other = sorted(client.emulator.database.rows("connection"), key=lambda row: row["ismaster"], reverse=True)
    assert (one["record1id"], one["record2id"]) == (other["record2id"], other["record1id"])
    assert (one["record2roleid"], one["relatedconnectionid"]) == (other["record1roleid"], other["connectionid"])
    assert other["relatedconnectionid"] == one["connectionid"]
    assert client.call("DELETE", contact).status_code == 204
    assert client.emulator.database.count("connection") == 0
    assert len(_deleted(client, "connection")) == 2


def test_ties_of_many_to_many_go_with_either_end(client: Client) -> None:
    contact, interest = client.create("contacts", lastname="Ada"), client.create("acme_interests", acme_name="I")
    client.call("POST", f"{interest}/acme_interest_contact/$ref", json={"@odata.id": contact})

    assert client.call("DELETE", contact).status_code == 204
    assert client.emulator.database.count("acme_interest_contact") == 0
    assert len(_deleted(client, "acme_interest_contact")) == 1


def test_list_members_of_one_kind_go_alone(client: Client) -> None:
    mailing = client.create("lists", listname="L", createdfromcode=4)
    leads = [client.create("leads", lastname=name) for name in "ab"]
    for lead in leads:
        client.call("POST", f"{mailing}/listlead_association/$ref", json={"@odata.id": lead})

    client.call("DELETE", leads[0])

    assert [row["entityid"] for row in client.emulator.database.rows("listmember")] == [leads[1][-37:-1]]
