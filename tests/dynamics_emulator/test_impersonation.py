"""Acting in another user's name."""

from collections.abc import Callable
from typing import Any

import pytest

from dynamics_emulator.identity import APPLICATION_USER_ID
from dynamics_emulator.security.privileges import ACT_ON_BEHALF
from dynamics_emulator.testing import RunningEmulator
from dynamics_emulator.testing_client import Client

Headers = Callable[[str], dict[str, str]]


@pytest.fixture
def seller(emulator: RunningEmulator) -> str:
    """A person with the role of a salesperson."""
    return emulator.control.add_user("Sam Seller", roles=["Salesperson"])


def _object_id(client: Client, user: str) -> str:
    found: str = client.get(f"systemusers({user})?$select=azureactivedirectoryobjectid").json()[
        "azureactivedirectoryobjectid"
    ]
    return found


@pytest.fixture(params=["CallerObjectId", "MSCRMCallerID"])
def acting_as(request: pytest.FixtureRequest, client: Client) -> Headers:
    """Headers that act as a user, in both forms."""

    def headers(user: str) -> dict[str, str]:
        by_object = request.param == "CallerObjectId"
        return {request.param: _object_id(client, user) if by_object else user}

    return headers


def _stamps(client: Client, lead: str) -> dict[str, Any]:
    row = client.get(lead).json()
    names = ("createdby", "modifiedby", "createdonbehalfby", "modifiedonbehalfby", "ownerid")
    return {name: row[f"_{name}_value"] for name in names}


def test_who_am_i_is_the_impersonated_user(client: Client, seller: str, acting_as: Headers) -> None:
    assert client.get("WhoAmI", headers=acting_as(seller)).json()["UserId"] == seller


def test_a_row_shows_both_users(client: Client, seller: str, acting_as: Headers) -> None:
    answer = client.call("POST", "leads", json={"lastname": "x"}, headers=acting_as(seller))

    assert _stamps(client, answer.headers["OData-EntityId"]) == {
        "createdby": seller,
        "modifiedby": seller,
        "createdonbehalfby": APPLICATION_USER_ID,
        "modifiedonbehalfby": APPLICATION_USER_ID,
        "ownerid": seller,
    }


def test_a_later_write_of_ones_own_clears_the_mark(client: Client, seller: str) -> None:
    lead = client.call("POST", "leads", json={"lastname": "x"}, headers={"MSCRMCallerID": seller})
    address = lead.headers["OData-EntityId"]

    client.call("PATCH", address, json={"firstname": "y"})

    stamps = _stamps(client, address)
    assert stamps["modifiedby"] == APPLICATION_USER_ID
    assert stamps["modifiedonbehalfby"] is None
    assert stamps["createdonbehalfby"] == APPLICATION_USER_ID


def test_rights_are_those_of_the_impersonated_user(client: Client, seller: str, acting_as: Headers) -> None:
    mine = client.create("leads", lastname="x", **{"ownerid@odata.bind": f"/systemusers({seller})"})
    other = client.create("leads", lastname="y")
    headers = acting_as(seller)

    assert client.call("PATCH", mine, json={"firstname": "a"}, headers=headers).status_code == 204
    assert client.error("PATCH", other, json={"firstname": "a"}, headers=headers) == (403, "0x80040220")
    assert client.call("PATCH", other, json={"firstname": "a"}).status_code == 204


def test_rights_are_no_more_than_the_callers_own(client: Client, emulator: RunningEmulator) -> None:
    boss = emulator.control.add_user("Big Boss", roles=["System Administrator"])
    headers = {"MSCRMCallerID": boss}
    client.create("leads", lastname="theirs")
    emulator.control.set_privilege("lead", "Read", "Basic")
    emulator.control.set_privilege("contact", "Read", None)

    assert client.rows("leads", headers=headers) == []
    assert client.error("GET", "contacts", headers=headers) == (403, "0x80040220")
    assert client.get("accounts", headers=headers).status_code == 200


def test_the_privilege_is_needed(client: Client, emulator: RunningEmulator, seller: str, acting_as: Headers) -> None:
    headers = acting_as(seller)
    emulator.control.set_privilege(None, ACT_ON_BEHALF, None)

    answer = client.get("WhoAmI", headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (
        403,
        {"code": "0x8004a110", "message": "User does not have the privilege to act on behalf another user."},
    )


@pytest.mark.parametrize("header", ["CallerObjectId", "MSCRMCallerID"])
@pytest.mark.parametrize("status", [404, 400, 403])
def test_an_unknown_user(client: Client, emulator: RunningEmulator, header: str, status: int) -> None:
    emulator.control.change_settings(unknown_impersonated_status=status)
    headers = {header: "7e57ab1e-0000-4000-8000-00000000ffff"}

    answer = client.get("WhoAmI", headers=headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, "0x80040217")
    assert answer.json()["error"]["message"] == (
        "SystemUser With Id = 7e57ab1e-0000-4000-8000-00000000ffff Does Not Exist"
    )


def test_a_disabled_user_cannot_be_impersonated(client: Client, emulator: RunningEmulator, seller: str) -> None:
    emulator.control.disable_user(seller)

    assert client.error("GET", "WhoAmI", headers={"MSCRMCallerID": seller}) == (403, "0x80040225")


def test_a_header_that_is_no_guid(client: Client) -> None:
    assert client.get("WhoAmI", headers={"MSCRMCallerID": "sam"}).status_code == 400


def test_acting_as_oneself_leaves_no_mark(client: Client) -> None:
    headers = {"MSCRMCallerID": APPLICATION_USER_ID}
    lead = client.call("POST", "leads", json={"lastname": "x"}, headers=headers).headers["OData-EntityId"]

    assert _stamps(client, lead)["createdonbehalfby"] is None


def _batch(*parts: tuple[str, str]) -> str:
    texts = [
        "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        f"GET {path} HTTP/1.1\r\n{header}\r\n\r\n"
        for path, header in parts
    ]
    return "".join(texts) + "--b--\r\n"


def test_a_batch_acts_as_a_whole_and_by_part(client: Client, emulator: RunningEmulator, seller: str) -> None:
    boss = emulator.control.add_user("Big Boss", roles=["System Administrator"])
    body = _batch(("WhoAmI", "Accept: application/json"), ("WhoAmI", f"MSCRMCallerID: {boss}"))
    headers = {"Content-Type": "multipart/mixed; boundary=b", "MSCRMCallerID": seller}

    answer = client.call("POST", "$batch", data=body, headers=headers).text

    assert answer.index(f'"UserId":"{seller}"') < answer.index(f'"UserId":"{boss}"')


def test_limits_are_counted_for_the_application_user(client: Client, emulator: RunningEmulator, seller: str) -> None:
    header = "x-ms-ratelimit-burst-remaining-xrm-requests"
    first = int(client.get("WhoAmI").headers[header])

    second = int(client.get("WhoAmI", headers={"MSCRMCallerID": seller}).headers[header])

    assert second == first - 1
