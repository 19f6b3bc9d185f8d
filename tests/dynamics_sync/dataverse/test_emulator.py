"""The client from end to end: the local Dynamics over real TLS, signed in with the real msal."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_sync import errors
from dynamics_sync.dataverse.auth import Credentials
from dynamics_sync.dataverse.bindings import read_bindings
from dynamics_sync.dataverse.client import DataverseClient, Request, open_client
from dynamics_sync.dataverse.feed import read_keys, read_tracked
from dynamics_sync.dataverse.metadata import read_table
from dynamics_sync.dataverse.organization import read_organization, who_am_i
from dynamics_sync.dataverse.paging import read_pages
from dynamics_sync.dataverse.query import between, equals, in_filter, select_path


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningEmulator]:
    with running_emulator(rows=0) as running:
        yield running


@pytest.fixture
def emulator(shared) -> Iterator[RunningEmulator]:
    """The module's emulator, without faults; each test works with rows of its own."""
    yield shared
    shared.control.clear_faults()


def credentials_of(emulator: RunningEmulator, **changed) -> Credentials:
    given = {
        "tenant_id": emulator.tenant_id,
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
        "authority": emulator.authority,
        "ca_file": str(emulator.ca_file),
    }
    return Credentials(**(given | changed))


@pytest.fixture
def client(emulator) -> DataverseClient:
    return open_client(credentials_of(emulator), emulator.url, sleep=lambda _seconds: None)


def create_leads(client: DataverseClient, count: int, lastname: str = "Okafor") -> list[str]:
    """Create leads under ids of our own, as the sync does."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    body = json.dumps({"lastname": lastname}).encode()
    for lead_id in ids:
        client.send(Request(f"leads({lead_id})", method="PATCH", headers={"If-None-Match": "*"}, body=body))
    return ids


def delete(client: DataverseClient, lead_id: str) -> None:
    client.send(Request(f"leads({lead_id})", method="DELETE", headers={"If-Match": "*"}))


def test_the_connection_knows_itself(emulator, client) -> None:
    organization, caller = read_organization(client), who_am_i(client)
    assert organization.organization_id == caller.organization_id
    assert all((organization.environment_id, organization.unique_name, organization.tenant_id, organization.url_name))


def test_a_certificate_signs_in(emulator) -> None:
    credentials = credentials_of(
        emulator,
        client_secret=None,
        certificate_pem=emulator.certificate_pem,
        private_key_pem=emulator.private_key_pem,
    )
    assert who_am_i(open_client(credentials, emulator.url)).user_id


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"client_secret": "wrong"}, "AADSTS7000215"), ({"client_id": str(uuid.UUID(int=1))}, "AADSTS700016")],
)
def test_a_sign_in_that_is_refused(emulator, changed, code) -> None:
    with pytest.raises(errors.SignInRefused, match=code):
        who_am_i(open_client(credentials_of(emulator, **changed), emulator.url))


def test_an_unknown_tenant(emulator) -> None:
    other = emulator.authority.replace(emulator.tenant_id, str(uuid.UUID(int=2)))
    with pytest.raises(errors.SignInRefused):
        who_am_i(open_client(credentials_of(emulator, authority=other), emulator.url))


def test_metadata_is_typed(client) -> None:
    lead = read_table(client, "lead")
    assert (lead.set_name, lead.primary_id, lead.change_tracking) == ("leads", "leadid", True)
    assert lead.column("lastname").max_length
    assert lead.column("ownerid").property == "_ownerid_value"
    assert set(lead.column("ownerid").targets) >= {"systemuser", "team"}
    assert 0 in (lead.column("statecode").options or {})
    assert lead.column("createdon").date_behavior == "UserLocal"
    assert "owneridname" not in lead.columns


def test_metadata_of_users_and_of_an_irregular_set_name(client) -> None:
    assert read_table(client, "systemuser").primary_id == "systemuserid"
    assert read_table(client, "opportunity").set_name == "opportunities"


def test_metadata_says_what_may_be_written(client) -> None:
    lead = read_table(client, "lead")

    def writable(name: str) -> tuple[bool, bool]:
        column = lead.column(name)
        return column.is_valid_for_create, column.is_valid_for_update

    assert [writable(name) for name in ("lastname", "ownerid", "statecode")] == [(True, True)] * 3
    assert [writable(name) for name in ("createdon", "versionnumber", "fullname")] == [(False, False)] * 3
    assert writable("overriddencreatedon") == (True, False)


def test_a_missing_table_and_a_missing_column(client) -> None:
    with pytest.raises(errors.TableMissing, match="did you mean lead"):
        read_table(client, "leadd")
    with pytest.raises(errors.ColumnMissing, match="nosuchcolumn"):
        client.get_json(select_path("leads", ["nosuchcolumn"]))


def test_pages_hold_every_row_once(client) -> None:
    ids = create_leads(client, 7)
    path = select_path("leads", ["leadid"], filter=in_filter("leadid", ids))
    pages = list(read_pages(client, Request(path, prefer=("odata.maxpagesize=3",))))
    assert [page.rows for page in pages] == [3, 3, 1]
    assert sorted(row["leadid"] for page in pages for row in json.loads(page.body)["value"]) == sorted(ids)


def test_a_read_goes_on_where_it_stopped(client) -> None:
    ids = create_leads(client, 5)
    first = Request(select_path("leads", ["leadid"], filter=in_filter("leadid", ids)), prefer=("odata.maxpagesize=2",))
    page = next(read_pages(client, first))
    rest = list(read_pages(client, first, resume_link=page.next_link, start_number=2))
    assert [(item.number, item.rows) for item in rest] == [(2, 2), (3, 1)]


def test_filters_are_understood(client) -> None:
    odd = f"O'Neil & Søn + 100% #{uuid.uuid4().hex[:8]}"
    (lead_id,) = create_leads(client, 1, odd)
    for filter_ in (equals("leadid", uuid.UUID(lead_id)), equals("lastname", odd)):
        assert [
            row["leadid"] for row in client.get_json(select_path("leads", ["leadid"], filter=filter_))["value"]
        ] == [lead_id]
    window = between("modifiedon", datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
    both = f"{window} and {equals('leadid', uuid.UUID(lead_id))}"
    assert len(client.get_json(select_path("leads", ["leadid"], filter=both))["value"]) == 1


def test_the_feed_brings_changes_and_deletions_once(client) -> None:
    lead = read_table(client, "lead")
    kept, gone = create_leads(client, 2)
    first = list(read_tracked(client, lead, page_size=2).pages())
    seen = [key for page in first for key in page.ids]
    assert {kept, gone} <= set(seen)
    (added,) = create_leads(client, 1)
    delete(client, gone)
    pages = list(read_tracked(client, lead, first[-1].delta_link).pages())
    assert [key for page in pages for key in page.ids] == [added]
    assert [key for page in pages for key in page.deleted] == [gone]
    assert next(read_tracked(client, lead, pages[-1].delta_link).pages()).ids == []


def test_an_expired_link_and_a_missing_right(emulator, client) -> None:
    lead = read_table(client, "lead")
    *_, last = read_tracked(client, lead).pages()
    emulator.control.expire_tracking("lead")
    with pytest.raises(errors.ChangeTrackingExpired):
        list(read_tracked(client, lead, last.delta_link).pages())
    emulator.control.set_read("lead", allowed=False)
    try:
        with pytest.raises(errors.PrivilegeMissing, match="prvReadLead"):
            list(read_keys(client, lead).pages())
    finally:
        emulator.control.set_read("lead", allowed=True)


def test_keys_of_an_untracked_table(client) -> None:
    connection = read_table(client, "connection")
    with pytest.raises(errors.ChangeTrackingOff):
        read_tracked(client, connection)
    assert next(read_keys(client, connection).pages()).deleted == []


def test_versions_guard_writes(client) -> None:
    (lead_id,) = create_leads(client, 1)
    again = Request(f"leads({lead_id})", method="PATCH", headers={"If-None-Match": "*"}, body=b"{}")
    with pytest.raises(errors.VersionConflict, match="0x80040237"):
        client.send(again)
    stale = Request(f"leads({lead_id})", method="PATCH", headers={"If-Match": 'W/"1"'}, body=b'{"lastname": "x"}')
    with pytest.raises(errors.VersionConflict, match="0x80060882"):
        client.send(stale)
    absent = Request(f"leads({uuid.uuid4()})", method="PATCH", headers={"If-Match": "*"}, body=b'{"lastname": "x"}')
    with pytest.raises(errors.RecordNotFound):
        client.send(absent)


def test_writes_in_a_batch_have_an_outcome_each(client) -> None:
    (lead_id,) = create_leads(client, 1)
    calls = [
        Request(f"leads({lead_id})", method="PATCH", headers={"If-Match": "*"}, body=json.dumps(body).encode())
        for body in ({"lastname": "x" * 5000}, {"lastname": "Grüße"})
    ]
    refused, written = client.batch_each(calls)
    assert isinstance(refused, errors.RecordRefused)
    assert written.status == 204
    assert client.get_json(f"leads({lead_id})?$select=lastname")["lastname"] == "Grüße"


def versioned(client: DataverseClient, lead_id: str, lastname: str) -> Request:
    """An update of a lead in the version that it has now."""
    version = client.get_json(f"leads({lead_id})?$select=leadid")["@odata.etag"]
    body = json.dumps({"lastname": lastname}).encode()
    return Request(f"leads({lead_id})", method="PATCH", headers={"If-Match": version}, body=body)


def created(lead_id: str, lastname: str = "Okafor") -> Request:
    body = json.dumps({"lastname": lastname}).encode()
    prefer = ("return=representation",)
    return Request(f"leads({lead_id})", prefer, "PATCH", headers={"If-None-Match": "*"}, body=body)


def names_of(client: DataverseClient, ids: list[str]) -> list[str]:
    return [client.get_json(f"leads({lead_id})?$select=lastname")["lastname"] for lead_id in ids]


def test_each_conditional_write_has_the_outcome_that_dynamics_gave_it(client) -> None:
    first, stale, gone, long = create_leads(client, 4)
    new = str(uuid.uuid4())
    calls = [versioned(client, lead_id, "Grüße") for lead_id in (first, stale, gone)]
    calls += [versioned(client, long, "x" * 5000), created(new), created(first)]
    client.send(versioned(client, stale, "Faster"))
    delete(client, gone)
    written, conflict, missing, refused, made, present = client.write_each(calls)
    assert written.status == 204
    assert (type(conflict), conflict.dataverse_code) == (errors.VersionConflict, "0x80060882")
    assert (type(missing), missing.dataverse_code) == (errors.RecordNotFound, "0x80040217")
    assert (type(refused), refused.dataverse_code) == (errors.RecordRefused, "0x80044331")
    assert (made.status, made.json()["leadid"]) == (201, new)
    assert (type(present), present.dataverse_code) == (errors.VersionConflict, "0x80040237")
    assert names_of(client, [first, stale, long, new]) == ["Grüße", "Faster", "Okafor", "Okafor"]


@pytest.mark.parametrize(
    "fault", ["drop-before", "status-429", "status-500", "status-502", "status-503", "status-504", "token-expired-401"]
)
def test_a_batch_of_writes_survives_a_fault_before_it_was_carried_out(emulator, client, fault) -> None:
    (lead_id,) = create_leads(client, 1)
    calls = [versioned(client, lead_id, "Once"), created(str(uuid.uuid4()))]
    emulator.control.add_fault(fault, times=1, match="$batch")
    assert [outcome.status for outcome in client.write_each(calls)] == [204, 201]


@pytest.mark.parametrize("fault", ["drop-after", "drop-during", "truncated-json", "html-200", "wrong-content-length"])
def test_a_batch_whose_answer_was_lost_finds_its_own_work_and_does_nothing_twice(emulator, client, fault) -> None:
    (lead_id,) = create_leads(client, 1)
    new = str(uuid.uuid4())
    calls = [versioned(client, lead_id, "Once"), created(new)]
    emulator.control.add_fault(fault, times=1, match="$batch")
    outcomes = client.write_each(calls)
    assert [type(outcome) for outcome in outcomes] == [errors.VersionConflict] * 2
    assert names_of(client, [lead_id, new]) == ["Once", "Okafor"]


def test_lookups_are_bound_and_cleared(emulator, client) -> None:
    bindings = read_bindings(client, read_table(client, "contact"), ["parentcustomerid", "ownerid"])
    account, contact, other, team = (str(uuid.uuid4()) for _ in range(4))
    user, unit = who_am_i(client).user_id, who_am_i(client).business_unit_id
    for path, body in [
        (f"accounts({account})", {"name": "Acme"}),
        (f"teams({team})", {"name": "Events", "businessunitid@odata.bind": f"/businessunits({unit})"}),
        (f"contacts({other})", {"lastname": "B"}),
        (f"contacts({contact})", {"lastname": "A", **dict([bindings.bind("parentcustomerid", "account", account)])}),
    ]:  # fmt: skip
        client.send(Request(path, (), "PATCH", {"If-None-Match": "*"}, json.dumps(body).encode()))

    # A team can own rows only with the rights to them.
    admin = select_path("roles", ["roleid"], filter=equals("name", "System Administrator"))
    role = client.get_json(admin)["value"][0]
    reference = json.dumps({"@odata.id": f"{client.api_url}/roles({role['roleid']})"}).encode()
    client.send(Request(f"teams({team})/teamroles_association/$ref", method="POST", body=reference))

    def points_at(*members: tuple[str, str | None]) -> tuple[object, object]:
        if members:
            body = json.dumps(dict(members)).encode()
            client.send(Request(f"contacts({contact})", (), "PATCH", {"If-Match": "*"}, body))
        row = client.get_json(f"contacts({contact})?$select=_parentcustomerid_value,_ownerid_value")
        return row["_parentcustomerid_value"], row["_ownerid_value"]

    assert points_at() == (account, user)
    assert points_at(bindings.bind("parentcustomerid", "contact", other)) == (other, user)
    # The property named first leads to accounts; it empties the column although that points at a contact.
    assert points_at(bindings.clear("parentcustomerid")) == (None, user)
    assert points_at(bindings.bind("ownerid", "team", team)) == (None, team)
    assert points_at(bindings.bind("ownerid", "systemuser", user)) == (None, user)


def test_navigation_properties_are_those_of_the_organisation(client) -> None:
    lead = read_table(client, "lead")
    bindings = read_bindings(client, lead, ["ownerid", "customerid", "campaignid"])
    assert bindings.targets("ownerid") == ("systemuser", "team")
    assert bindings.bind("customerid", "contact", "1")[0] == "customerid_contact@odata.bind"
    assert bindings.bind("campaignid", "campaign", "1") == ("campaignid@odata.bind", "/campaigns(1)")
    with pytest.raises(errors.ColumnMissing, match="lastname"):
        read_bindings(client, lead, ["lastname"])


@pytest.mark.parametrize(
    "fault", ["status-500", "status-502", "status-503", "status-504", "drop-before", "drop-during"]
)
def test_a_passing_fault_is_survived(emulator, client, fault) -> None:
    who_am_i(client)
    emulator.control.add_fault(fault, times=2, match="WhoAmI")
    assert who_am_i(client).user_id


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("truncated-json", errors.IncompleteAnswer),
        ("html-200", errors.IncompleteAnswer),
        ("foreign-link", errors.ForeignLink),
        ("loop-link", errors.PagingLoop),
        ("repeat-page", errors.PagingLoop),
    ],
)
def test_a_lasting_fault_has_its_error(emulator, client, fault, expected) -> None:
    create_leads(client, 4)
    emulator.control.add_fault(fault, times=9, match="leads")
    with pytest.raises(expected):
        list(read_pages(client, Request(select_path("leads", ["leadid"]), prefer=("odata.maxpagesize=1",))))


@pytest.mark.parametrize("fault", ["status-429", "retry-after-date"])
def test_throttling_is_waited_for(emulator, fault) -> None:
    slept = []
    client = open_client(credentials_of(emulator), emulator.url, sleep=slept.append)
    emulator.control.add_fault(fault, times=1, match="WhoAmI")
    assert who_am_i(client).user_id
    assert len(slept) == 1
    assert slept[0] >= 0


def test_a_withdrawn_token_is_renewed_once(emulator, client) -> None:
    who_am_i(client)
    emulator.control.add_fault("token-expired-401", times=1, match="WhoAmI")
    assert who_am_i(client).user_id
    emulator.control.add_fault("token-expired-401", times=2, match="WhoAmI")
    with pytest.raises(errors.TokenRefused):
        who_am_i(client)


def test_the_affinity_cookie_binds_nobody_to_one_server(emulator, client) -> None:
    emulator.control.change_settings(servers=3, affinity_cookie=True)
    answers = [client.send(Request("WhoAmI")) for _ in range(6)]
    emulator.control.change_settings(servers=1)
    assert all("ARRAffinity=" in answer.headers["Set-Cookie"] for answer in answers)
    marks = [answer.headers["Set-Cookie"].partition(";")[0] for answer in answers]
    assert len(set(marks)) == 3
    assert marks[:3] == marks[3:]
