"""Roles: privileges by table and depth, for every kind of request."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dynamics_emulator.identity import APPLICATION_USER_ID, ROOT_BUSINESS_UNIT_ID
from dynamics_emulator.testing import RunningEmulator
from dynamics_emulator.testing_client import Client, connect

_DENIED = (403, "0x80040220")


@pytest.fixture
def units(emulator: RunningEmulator) -> dict[str, str]:
    """Business units: north is below europe, which is below the root; asia lies beside."""
    europe = emulator.control.add_business_unit("Europe")
    return {
        "root": ROOT_BUSINESS_UNIT_ID,
        "europe": europe,
        "north": emulator.control.add_business_unit("North", europe),
        "asia": emulator.control.add_business_unit("Asia"),
    }


@pytest.fixture
def owners(emulator: RunningEmulator, units: dict[str, str]) -> dict[str, str]:
    """One user in each unit, able to own leads."""
    return {
        name: emulator.control.add_user(f"Owner {name}", roles=["Salesperson"], business_unit=unit)
        for name, unit in units.items()
    }


@pytest.fixture
def limited(emulator: RunningEmulator, units: dict[str, str]) -> Iterator[Client]:
    """A client whose user sits in Europe; its role ``Limited`` may do nothing yet."""
    emulator.control.add_role("Limited")
    added = emulator.control.add_application(roles=["Limited"], business_unit=units["europe"], name="Limited")
    connected = connect(emulator.as_application(added))
    with connected.session:
        yield connected


@pytest.fixture
def grant(emulator: RunningEmulator) -> Callable[..., None]:
    """Grants the role ``Limited`` rights on a table at a depth."""

    def give(table: str, depth: str | None, *rights: str) -> None:
        for right in rights or ("Read",):
            emulator.control.set_privilege(table, right, depth, "Limited")

    return give


def _lead(client: Client, owner: str, **values: object) -> str:
    return client.create("leads", lastname="x", **{"ownerid@odata.bind": f"/systemusers({owner})"}, **values)


def _limited_user(limited: Client) -> str:
    found: str = limited.get("WhoAmI").json()["UserId"]
    return found


def test_the_demo_user_holds_the_sync_role_globally(client: Client) -> None:
    roles = client.rows(f"systemusers({APPLICATION_USER_ID})/systemuserroles_association?$select=name")
    held = client.rows("roleprivilegescollection?$filter=privilegedepthmask eq 8&$count=true")

    assert [role["name"] for role in roles] == ["Marketing sync"]
    assert len(held) > 200


def test_a_user_without_privileges_is_told_which_is_missing(limited: Client) -> None:
    answer = limited.get("leads")

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == _DENIED
    assert error["message"].startswith(f"Principal user (Id={_limited_user(limited)}, type=8, ")
    assert " is missing prvReadLead privilege " in error["message"]


@pytest.mark.parametrize(
    "path",
    [
        "leads",
        "leads/$count",
        "leads?$apply=aggregate($count as n)",
        "leads(7e57ab1e-0000-4000-8000-00000000ffff)",
        "RetrieveTotalRecordCount(EntityNames=['lead'])",
        "accounts?$expand=lead_parent_account($select=lastname)",
        "accounts?$filter=lead_parent_account/any(l:l/lastname eq 'x')",
        "contacts?$expand=originatingleadid($select=lastname)",
        "contacts?$filter=originatingleadid/lastname eq 'x'",
        "contacts?$orderby=originatingleadid/lastname",
    ],
)
def test_every_read_of_a_table_needs_its_privilege(limited: Client, grant: Callable[..., None], path: str) -> None:
    for table in ("account", "contact"):
        grant(table, "Global")
    grant("lead", "Global")
    assert limited.get(path).status_code in (200, 404)

    grant("lead", None)

    assert limited.error("GET", path) == _DENIED


@pytest.mark.parametrize(
    ("depth", "seen"),
    [
        ("Basic", {"mine"}),
        ("Local", {"mine", "europe"}),
        ("Deep", {"mine", "europe", "north"}),
        ("Global", {"mine", "europe", "north", "root", "asia"}),
    ],
)
def test_depth_of_read(
    client: Client, limited: Client, owners: dict[str, str], grant: Callable[..., None], depth: str, seen: set[str]
) -> None:
    grant("lead", depth)
    _lead(client, _limited_user(limited), firstname="mine")
    for name, owner in owners.items():
        _lead(client, owner, firstname=name)

    rows = limited.rows("leads?$select=firstname")

    assert {row["firstname"] for row in rows} == seen
    assert limited.get("leads/$count").text == str(len(seen))
    assert limited.rows("leads?$apply=aggregate($count as n)")[0]["n"] == len(seen)
    assert len(limited.rows("leads?$filter=lastname eq 'x'&$count=true")) == len(seen)


def test_a_row_out_of_reach_is_refused_by_its_address(
    client: Client, limited: Client, owners: dict[str, str], grant: Callable[..., None]
) -> None:
    grant("lead", "Local")
    near, far = _lead(client, owners["europe"]), _lead(client, owners["asia"])

    answer = limited.get(far)

    assert limited.get(near).status_code == 200
    assert (answer.status_code, answer.json()["error"]["code"]) == _DENIED
    assert "SecLib::AccessCheckEx failed" in answer.json()["error"]["message"]
    assert limited.error("GET", f"{far}/lastname") == _DENIED
    assert limited.error("GET", f"{far}/ownerid/$ref") == _DENIED
    limited.emulator.control.change_settings(row_refused_code="0x80048306")
    assert limited.error("GET", far) == (403, "0x80048306")


def test_expanded_and_filtered_rows_are_only_those_in_reach(
    client: Client, limited: Client, owners: dict[str, str], grant: Callable[..., None]
) -> None:
    grant("account", "Global")
    grant("lead", "Local")
    account = client.create("accounts", name="Acme").partition("/v9.2/")[2]
    for name in ("europe", "asia"):
        _lead(client, owners[name], firstname=name, **{"parentaccountid@odata.bind": f"/{account}"})

    expanded = limited.get(f"{account}?$select=name&$expand=lead_parent_account($select=firstname)").json()
    behind = limited.rows(f"{account}/lead_parent_account?$select=firstname")

    assert [lead["firstname"] for lead in expanded["lead_parent_account"]] == ["europe"]
    assert [lead["firstname"] for lead in behind] == ["europe"]
    assert limited.rows("accounts?$filter=lead_parent_account/any(l:l/firstname eq 'asia')") == []


def test_an_expanded_lookup_out_of_reach_is_null(
    client: Client, limited: Client, owners: dict[str, str], grant: Callable[..., None]
) -> None:
    grant("account", "Local")
    grant("lead", "Global")
    account = client.create("accounts", name="Far", **{"ownerid@odata.bind": f"/systemusers({owners['asia']})"})
    lead = _lead(client, owners["europe"], **{"parentaccountid@odata.bind": account})

    row = limited.get(f"{lead}?$select=lastname&$expand=parentaccountid($select=name)").json()

    assert row["parentaccountid"] is None


@pytest.mark.parametrize("depth", ["Basic", "Local", "Deep"])
def test_change_tracking_needs_global_read(limited: Client, grant: Callable[..., None], depth: str) -> None:
    tracking = "odata.track-changes"
    grant("lead", "Global")
    link = limited.get("leads?$select=lastname", prefer=tracking).json()["@odata.deltaLink"]

    grant("lead", depth)

    assert limited.error("GET", "leads?$select=lastname", prefer=tracking) == _DENIED
    assert limited.error("GET", link) == _DENIED
    assert limited.get("leads?$select=lastname").status_code == 200


def test_create_needs_its_privilege_and_reaches_only_so_far(
    limited: Client, owners: dict[str, str], grant: Callable[..., None]
) -> None:
    body: dict[str, Any] = {"lastname": "x"}
    assert limited.error("POST", "leads", json=body) == _DENIED

    grant("lead", "Basic", "Create")

    assert limited.call("POST", "leads", json=body).status_code == 204
    for_another = {**body, "ownerid@odata.bind": f"/systemusers({owners['europe']})"}
    assert limited.error("POST", "leads", json=for_another) == _DENIED
    grant("lead", "Local", "Create")
    assert limited.call("POST", "leads", json=for_another).status_code == 204


def test_an_upsert_of_a_missing_row_needs_create(limited: Client, grant: Callable[..., None]) -> None:
    grant("lead", "Global", "Write", "Read")
    path = "leads(7e57ab1e-0000-4000-8000-00000000ffff)"

    assert limited.error("PATCH", path, json={"lastname": "x"}) == _DENIED
    grant("lead", "Global", "Create")
    assert limited.call("PATCH", path, json={"lastname": "x"}).status_code == 204


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_writes_reach_only_so_far(
    client: Client, limited: Client, owners: dict[str, str], grant: Callable[..., None], method: str
) -> None:
    near, far = _lead(client, owners["europe"]), _lead(client, owners["asia"])
    body = {"json": {"firstname": "new"}} if method == "PATCH" else {}
    grant("lead", "Global", "Read")
    assert limited.error(method, near, **body) == _DENIED

    grant("lead", "Local", "Write" if method == "PATCH" else "Delete")

    assert limited.error(method, far, **body) == _DENIED
    assert limited.call(method, near, **body).status_code == 204


def test_a_single_property_needs_write(client: Client, limited: Client, grant: Callable[..., None]) -> None:
    lead = client.create("leads", lastname="x")
    grant("lead", "Global", "Read")

    assert limited.error("PUT", f"{lead}/firstname", json={"value": "y"}) == _DENIED
    grant("lead", "Global", "Write")
    assert limited.call("PUT", f"{lead}/firstname", json={"value": "y"}).status_code == 204


def test_assign_is_a_privilege_of_its_own(
    client: Client, limited: Client, owners: dict[str, str], grant: Callable[..., None]
) -> None:
    lead = _lead(client, owners["europe"])
    given = {"ownerid@odata.bind": f"/systemusers({owners['north']})"}
    grant("lead", "Global", "Write", "Read")
    assert limited.error("PATCH", lead, json=given) == _DENIED

    grant("lead", "Global", "Assign")
    grant("lead", None, "Write")

    assert limited.call("PATCH", lead, json=given).status_code == 204
    assert limited.error("PATCH", lead, json={"firstname": "y"}) == _DENIED


def test_rows_are_given_only_to_those_who_may_read_them(client: Client, emulator: RunningEmulator) -> None:
    lead = client.create("leads", lastname="x")
    nobody = emulator.control.add_user("Nobody")
    given = {"ownerid@odata.bind": f"/systemusers({nobody})"}

    assert client.error("PATCH", lead, json=given) == (403, "0x80040231")
    assert client.error("POST", "leads", json={"lastname": "y", **given}) == (403, "0x80040231")
    emulator.control.assign_role("Salesperson", user=nobody)
    assert client.call("PATCH", lead, json=given).status_code == 204


def test_owners_may_be_left_unchecked(client: Client, emulator: RunningEmulator) -> None:
    emulator.control.change_settings(owner_needs_privilege=False)
    nobody = emulator.control.add_user("Nobody")

    assert client.create("leads", lastname="x", **{"ownerid@odata.bind": f"/systemusers({nobody})"})


@pytest.mark.parametrize("missing", [("lead", "Append"), ("account", "AppendTo")])
def test_a_link_needs_append_and_append_to(
    client: Client, limited: Client, grant: Callable[..., None], missing: tuple[str, str]
) -> None:
    for table in ("lead", "account"):
        grant(table, "Global", "Read", "Create", "Write", "Append", "AppendTo")
    account = client.create("accounts", name="Acme")
    body = {"lastname": "x", "parentaccountid@odata.bind": account}
    assert limited.call("POST", "leads", json=body).status_code == 204
    lead = limited.create("leads", lastname="y")

    grant(missing[0], None, missing[1])

    assert limited.error("POST", "leads", json=body) == _DENIED
    link = {"parentaccountid@odata.bind": account}
    assert limited.error("PATCH", lead, json=link) == _DENIED
    assert limited.error("PUT", f"{lead}/parentaccountid/$ref", json={"@odata.id": account}) == _DENIED
    assert limited.call("PATCH", lead, json={"firstname": "z"}).status_code == 204


def test_links_reach_only_so_far(
    client: Client, limited: Client, owners: dict[str, str], grant: Callable[..., None]
) -> None:
    grant("lead", "Local", "Read", "Create", "Append")
    grant("account", "Local", "AppendTo")
    near, far = (
        client.create("accounts", name=name, **{"ownerid@odata.bind": f"/systemusers({owners[name]})"})
        for name in ("europe", "asia")
    )

    answer = limited.call("POST", "leads", json={"lastname": "x", "parentaccountid@odata.bind": far})

    assert limited.call("POST", "leads", json={"lastname": "x", "parentaccountid@odata.bind": near}).status_code == 204
    assert (answer.status_code, answer.json()["error"]["code"]) == _DENIED
    assert answer.json()["error"]["message"].endswith("AccessRights: AppendToAccess")


def test_rights_of_a_team_are_those_of_its_members(
    client: Client, limited: Client, units: dict[str, str], owners: dict[str, str], emulator: RunningEmulator
) -> None:
    control = emulator.control
    control.add_role("Team reader")
    control.set_privilege("lead", "Read", "Local", "Team reader")
    team = client.create(
        "teams", name="Asia desk", teamtype=0, **{"businessunitid@odata.bind": f"/businessunits({units['asia']})"}
    )
    control.assign_role("Team reader", team=team[-37:-1])
    _lead(client, owners["asia"], firstname="asia")
    _lead(client, owners["europe"], firstname="europe")
    assert limited.error("GET", "leads") == _DENIED

    member = {"@odata.id": f"{emulator.api}/systemusers({_limited_user(limited)})"}
    assert client.call("POST", f"{team}/teammembership_association/$ref", json=member).status_code == 204

    assert [row["firstname"] for row in limited.rows("leads?$select=firstname")] == ["asia"]


@pytest.mark.parametrize("inherited", [1, 0])
def test_a_team_role_may_count_in_the_members_own_name(
    client: Client, limited: Client, emulator: RunningEmulator, inherited: int
) -> None:
    role = emulator.control.add_role("Team maker")
    emulator.control.write_raw("role", role, {"isinherited": inherited})
    emulator.control.set_privilege("lead", "Create", "Basic", "Team maker")
    team = client.create("teams", name="Makers", teamtype=0)
    emulator.control.assign_role("Team maker", team=team[-37:-1])
    member = {"@odata.id": f"{emulator.api}/systemusers({_limited_user(limited)})"}
    client.call("POST", f"{team}/teammembership_association/$ref", json=member)

    answer = limited.call("POST", "leads", json={"lastname": "my own"})

    assert answer.status_code == (204 if inherited else 403)


def test_a_role_given_over_the_api_counts_at_once(client: Client, limited: Client, emulator: RunningEmulator) -> None:
    role = client.rows("roles?$filter=name eq 'System Administrator'&$select=roleid")[0]["roleid"]
    path = f"systemusers({_limited_user(limited)})/systemuserroles_association"
    assert limited.error("GET", "leads") == _DENIED

    client.call("POST", f"{path}/$ref", json={"@odata.id": f"{emulator.api}/roles({role})"})
    allowed = limited.get("leads").status_code
    client.call("DELETE", f"{path}({role})/$ref")

    assert allowed == 200
    assert limited.error("GET", "leads") == _DENIED


def test_batch_parts_are_checked_one_by_one(limited: Client, grant: Callable[..., None]) -> None:
    grant("account", "Global")
    parts = "".join(
        f"--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET {path} HTTP/1.1\r\n\r\n"
        for path in ("leads", "accounts")
    )
    headers = {"Content-Type": "multipart/mixed; boundary=b", "Prefer": "odata.continue-on-error"}

    answer = limited.call("POST", "$batch", data=f"{parts}\r\n--b--\r\n", headers=headers)

    assert "HTTP/1.1 403 Forbidden" in answer.text
    assert "HTTP/1.1 200 OK" in answer.text


@pytest.mark.parametrize("action", ["UpdateMultiple", "UpsertMultiple"])
def test_bulk_writes_reach_only_so_far(
    client: Client, limited: Client, owners: dict[str, str], grant: Callable[..., None], action: str
) -> None:
    grant("lead", "Local", "Write")
    ids = [_lead(client, owners[name])[-37:-1] for name in ("europe", "asia")]
    targets = [{"@odata.type": "Microsoft.Dynamics.CRM.lead", "leadid": row, "firstname": "new"} for row in ids]
    path = f"leads/Microsoft.Dynamics.CRM.{action}"

    assert limited.error("POST", path, json={"Targets": targets}) == _DENIED
    assert client.rows("leads?$filter=firstname eq 'new'") == []
    assert limited.call("POST", path, json={"Targets": targets[:1]}).status_code in (200, 204)


def test_create_multiple_writes_nothing_without_the_privilege(client: Client, limited: Client) -> None:
    targets = {"Targets": [{"@odata.type": "Microsoft.Dynamics.CRM.lead", "lastname": "x"}]}

    assert limited.error("POST", "leads/Microsoft.Dynamics.CRM.CreateMultiple", json=targets) == _DENIED
    assert client.get("leads/$count").text == "0"


def test_read_is_revoked_and_given_back_by_the_control(client: Client, emulator: RunningEmulator) -> None:
    emulator.control.set_read("lead", allowed=False)
    assert client.error("GET", "leads") == _DENIED
    assert client.get("contacts").status_code == 200

    emulator.control.set_read("lead", allowed=True)

    assert client.get("leads").status_code == 200


@pytest.mark.parametrize(("table", "privilege", "depth"), [("lead", "Fly", "Basic"), ("lead", "Read", "Endless")])
def test_the_control_refuses_unknown_rights_and_depths(
    emulator: RunningEmulator, table: str, privilege: str, depth: str
) -> None:
    with pytest.raises(ValueError, match=r"Fly|Endless"):
        emulator.control.set_privilege(table, privilege, depth)


def test_changed_roles_go_unnoticed_while_they_are_cached(client: Client, emulator: RunningEmulator) -> None:
    control = emulator.control
    control.stop_clock(emulator.organisation.clock.now())
    control.change_settings(permission_cache_seconds=30)
    assert client.get("leads").status_code == 200

    control.set_read("lead", allowed=False)
    cached = client.get("leads").status_code
    strong = client.error("GET", "leads", headers={"Consistency": "Strong"})
    control.set_read("lead", allowed=True)
    control.advance_clock(31)

    assert cached == 200
    assert strong == _DENIED
    assert client.get("leads").status_code == 200


def test_a_cached_right_ends_with_its_time(client: Client, emulator: RunningEmulator) -> None:
    control = emulator.control
    control.stop_clock(emulator.organisation.clock.now())
    control.change_settings(permission_cache_seconds=30)
    client.get("leads")
    control.set_read("lead", allowed=False)

    control.advance_clock(29)
    assert client.get("leads").status_code == 200
    control.advance_clock(2)

    assert client.error("GET", "leads") == _DENIED


@pytest.mark.parametrize("status", [403, 400, 401])
def test_a_disabled_user_is_refused(client: Client, emulator: RunningEmulator, status: int) -> None:
    emulator.control.change_settings(disabled_user_status=status)
    emulator.control.disable_user(APPLICATION_USER_ID)
    assert client.error("GET", "WhoAmI") == (status, "0x80040225")

    emulator.control.disable_user(APPLICATION_USER_ID, disabled=False)

    assert client.get("WhoAmI").status_code == 200


def test_who_am_i_tells_the_users_own_unit(limited: Client, units: dict[str, str]) -> None:
    assert limited.get("WhoAmI").json()["BusinessUnitId"] == units["europe"]


def test_users_see_their_own_user_row_at_basic_depth(limited: Client, grant: Callable[..., None]) -> None:
    grant("systemuser", "Basic")

    rows = limited.rows("systemusers?$select=fullname")

    assert [row["systemuserid"] for row in rows] == [_limited_user(limited)]


def test_activities_share_their_privileges(limited: Client, grant: Callable[..., None]) -> None:
    answer = limited.get("opportunitycloses")

    assert " is missing prvReadActivity privilege " in answer.json()["error"]["message"]
