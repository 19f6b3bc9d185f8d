"""Tables whose business logic refuses rows, and callers that go past it."""

import pytest

from dynamics_emulator.testing_client import Client

MESSAGE = "Leads of competitors are not welcome."
BYPASSES = [
    {"MSCRM.BypassCustomPluginExecution": "true"},
    {"MSCRM.BypassBusinessLogicExecution": "CustomSync"},
    {"MSCRM.BypassBusinessLogicExecution": "CustomSync,CustomAsync"},
]


@pytest.fixture
def ruled(client: Client) -> Client:
    """A client of an organisation that refuses some leads."""
    client.emulator.control.add_rule("lead", "contains(companyname,'rival') and leadsourcecode ne 8", MESSAGE)
    return client


def test_refused_create_and_update_leave_nothing(ruled: Client) -> None:
    lead = ruled.create("leads", lastname="x", companyname="Acme")

    for method, path in (("POST", "leads"), ("PATCH", lead)):
        answer = ruled.call(method, path, json={"lastname": "y", "companyname": "Our Rival Ltd"})
        assert (answer.status_code, answer.json()["error"]) == (400, {"code": "0x80040265", "message": MESSAGE})
    [row] = ruled.emulator.database.rows("lead")
    assert (row["lastname"], row["companyname"]) == ("x", "Acme")


def test_other_rows_and_tables_pass_until_the_rules_are_cleared(ruled: Client) -> None:
    rival = {"companyname": "rival", "lastname": "x"}
    assert ruled.call("POST", "leads", json={**rival, "leadsourcecode": 8}).status_code == 204
    assert ruled.call("POST", "contacts", json={"lastname": "rival"}).status_code == 204
    ruled.emulator.control.clear_rules()

    assert ruled.call("POST", "leads", json=rival).status_code == 204


def test_rule_undoes_a_whole_bulk_action(ruled: Client) -> None:
    kind = {"@odata.type": "Microsoft.Dynamics.CRM.lead", "lastname": "x"}
    targets = [kind, {**kind, "companyname": "rival"}]

    path = "leads/Microsoft.Dynamics.CRM.CreateMultiple"
    assert ruled.error("POST", path, json={"Targets": targets}) == (400, "0x80040265")
    assert ruled.emulator.database.count("lead") == 0


@pytest.mark.parametrize("headers", BYPASSES)
def test_bypass(ruled: Client, headers: dict[str, str]) -> None:
    body = {"lastname": "x", "companyname": "rival"}

    assert ruled.call("POST", "leads", json=body, headers=headers).status_code == 204


def test_bypass_of_asynchronous_logic_alone_does_not_help(ruled: Client) -> None:
    headers = {"MSCRM.BypassBusinessLogicExecution": "CustomAsync"}
    body = {"lastname": "x", "companyname": "rival"}

    assert ruled.error("POST", "leads", json=body, headers=headers) == (400, "0x80040265")


@pytest.mark.parametrize(
    ("privilege", "headers"), [("prvBypassCustomPlugins", BYPASSES[0]), ("prvBypassCustomBusinessLogic", BYPASSES[1])]
)
def test_bypass_needs_its_privilege(client: Client, privilege: str, headers: dict[str, str]) -> None:
    client.emulator.control.set_privilege(None, privilege, None)

    assert client.error("POST", "leads", json={"lastname": "x"}, headers=headers) == (403, "0x80040220")
    assert client.emulator.database.count("lead") == 0


def test_marks_for_plugins_are_accepted(client: Client) -> None:
    headers = {"MSCRM.SuppressCallbackRegistrationExpanderJob": "true"}

    answer = client.call("POST", "leads?tag=marketing-sync", json={"lastname": "x"}, headers=headers)

    assert answer.status_code == 204
