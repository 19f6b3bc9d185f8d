"""The journal of requests holds names of the schema, and nothing that somebody wrote into an address."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics_emulator.control.journal import plain_path
from dynamics_emulator.control.path_names import PathNames
from dynamics_emulator.schema.source import default_schema
from dynamics_emulator.testing_client import Call, Client, open_session, sign_in

API = "/api/data/v9.2"
CRM = "Microsoft.Dynamics.CRM"
NAMES = PathNames().of(default_schema())


@pytest.mark.parametrize(
    ("path", "query", "shown"),
    [
        ("/leads", "", "/leads"),
        ("/leads", "$filter=lastname%20eq%20'Ng'&$top=3", "/leads?$filter&$top"),
        ("/leads", "%24select=lastname&tag=Ng", "/leads?$select&…"),
        ("/leads", "$ng", "/leads?…"),
        ("/contacts(emailaddress1='ng@example.com')", "", "/contacts(…)"),
        ("/leads(acme_extid='secret(x)ng@example.com')", "", "/leads(…)"),
        ("/leads(acme_extid='ng@example.com", "", "/leads(…)"),
        ("/leads(acme_extid='ng/example.com')/lastname/$value", "", "/leads(…)/…/lastname/$value"),
        ("/leads/ng@example.com", "", "/leads/…"),
        ("/ng(1)", "", "/…(…)"),
        ("/teams(1)/teammembership_association(2)/$ref", "Ng", "/teams(…)/teammembership_association(…)/$ref?…"),
        (f"/leads(1)/{CRM}.QualifyLead", "", f"/leads(…)/{CRM}.QualifyLead"),
        (f"/accounts(1)/primarycontactid/{CRM}.ng", "", "/accounts(…)/primarycontactid/…"),
        ("/accounts(1)/contact_customer_accounts/$count", "", "/accounts(…)/contact_customer_accounts/$count"),
        (
            f"/EntityDefinitions(LogicalName='lead')/Attributes/{CRM}.StateAttributeMetadata",
            "",
            f"/EntityDefinitions(…)/Attributes/{CRM}.StateAttributeMetadata",
        ),
    ],
)
def test_known_names_are_shown_and_all_else_is_hidden(path: str, query: str, shown: str) -> None:
    assert plain_path(API + path, query, NAMES) == API + shown


secrets = st.text("/().,='$@ " + string.ascii_letters + "äé", min_size=1).map(lambda text: f"Okafor{text}Okafor")


@given(secrets, st.sampled_from(["/leads({})", "/leads/{}", "/{}", "/leads(acme_extid='{}')/lastname", "/leads(1){}"]))
def test_no_value_is_kept(secret: str, place: str) -> None:
    for path, query in ((place.format(secret), ""), ("/leads", secret), ("/leads", f"$filter={secret}")):
        assert "okafor" not in plain_path(API + path, query, NAMES).lower()


def test_names_follow_the_schema(client: Client) -> None:
    journal = client.emulator.organisation.journal

    client.get("leads(1)/acme_new")
    client.emulator.control.add_column("lead", "acme_new", "String")
    client.get("leads(1)/acme_new")
    client.get("WhoAmI")

    assert [entry.path for entry in journal.latest(3)[1:]] == [f"{API}/leads(…)/acme_new", f"{API}/leads(…)/…"]


def test_requests_are_counted_by_their_kind(client: Client) -> None:
    control = client.emulator.control
    before = control.count_requests()
    for number in range(250):
        client.get(f"leads(00000000-0000-4000-8000-{number:012d})?$select=leadid")
    client.batch(Call("GET", "WhoAmI"), Call("GET", "WhoAmI"))
    sign_in(client.emulator, client.session)

    counted = control.count_requests()

    assert {kind for kind in before if kind.endswith("/oauth2/v2.0/token")} == {"POST /…/oauth2/v2.0/token"}
    assert counted["POST /…/oauth2/v2.0/token"] - before["POST /…/oauth2/v2.0/token"] == 1
    assert (counted["GET /leads(…)"], counted["POST /$batch"]) == (250, 1)
    assert "GET /WhoAmI" not in counted
    assert sum(counted.values()) == client.emulator.organisation.journal.total


def test_page_and_status_show_no_data_of_a_bad_address(client: Client) -> None:
    for path in ("leads/ng@example.com", "leads(acme_extid='ng@example.com", "leads?$ng=ng@example.com"):
        client.get(path)
    with open_session(client.emulator) as anybody:
        page = anybody.get(f"{client.emulator.url}/", timeout=10).text

    assert "ng@example" not in page
    assert "ng@example" not in str(client.emulator.control.status()["last_requests"])
