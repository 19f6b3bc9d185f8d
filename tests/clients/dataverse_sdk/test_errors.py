"""Microsoft's Python SDK: what it makes of refusals, and what it sends beside its requests."""

from collections.abc import Callable, Iterator

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.config import OperationContext
from PowerPlatform.Dataverse.core.errors import HttpError

from dynamics_emulator.testing import RunningEmulator, running_emulator

NOBODY = "00000000-0000-0000-0000-00000000dead"


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    """An organisation whose limits no other test uses up."""
    with running_emulator() as running:
        yield running


REFUSALS: dict[str, tuple[Callable[[DataverseClient], object], int, str]] = {
    "missing row": (lambda sdk: sdk.records.update("lead", NOBODY, {"lastname": "A"}), 404, "0x80040217"),
    "missing row to delete": (lambda sdk: sdk.records.delete("lead", NOBODY), 404, "0x80040217"),
    "too long": (lambda sdk: sdk.records.create("lead", {"lastname": "x" * 51}), 400, "0x80044331"),
    "unknown option": (
        lambda sdk: sdk.records.create("lead", {"lastname": "A", "leadsourcecode": 4711}),
        400,
        "0x8004431a",
    ),
    "bad pair of state and status": (
        lambda sdk: sdk.records.create("lead", {"lastname": "A", "statecode": 0, "statuscode": 3}),
        400,
        "0x80048408",
    ),
    "unknown column": (lambda sdk: sdk.records.list("lead", select=["acme_nothing"]), 400, "0x80060888"),
    "unknown bind": (
        lambda sdk: sdk.records.create("lead", {"lastname": "A", "acme_x@odata.bind": f"/contacts({NOBODY})"}),
        400,
        "0x80048d19",
    ),
    "no such key": (
        lambda sdk: sdk.records.upsert("lead", [{"alternate_key": {"jobtitle": "x"}, "record": {"lastname": "A"}}]),
        400,
        "0x80060890",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_carries_the_code_of_the_server(sdk: DataverseClient, name: str) -> None:
    call, status, code = REFUSALS[name]

    with pytest.raises(HttpError) as refused:
        call(sdk)

    error = refused.value
    assert (error.status_code, error.details["service_error_code"]) == (status, code)
    assert error.details["service_request_id"]
    assert error.details["client_request_id"]
    assert error.details["correlation_id"]
    assert code in error.details["body_excerpt"]
    assert not error.is_transient


def test_a_throttled_call_says_how_long_to_wait(sdk: DataverseClient, change_setting: Callable[..., None]) -> None:
    sdk.records.list("lead", top=1)
    change_setting(request_limit=1)

    with pytest.raises(HttpError) as refused:
        sdk.records.list("lead", top=1)

    assert refused.value.status_code == 429
    assert refused.value.is_transient
    assert refused.value.details["service_error_code"] == "0x80072322"
    assert refused.value.details["retry_after"] >= 1


Credentials = Callable[..., ClientSecretCredential]


def test_a_wrong_secret_is_refused_at_sign_in(trusted: RunningEmulator, secret_credential: Credentials) -> None:
    with (
        secret_credential(trusted, secret="wrong") as credential,
        DataverseClient(trusted.url, credential) as sdk,
        pytest.raises(ClientAuthenticationError, match="AADSTS7000215"),
    ):
        sdk.tables.list()


def test_signs_in_with_a_certificate(trusted: RunningEmulator) -> None:
    chain = trusted.private_key_pem + trusted.certificate_pem
    with (
        CertificateCredential(
            trusted.tenant_id,
            trusted.client_id,
            certificate_data=chain.encode(),
            authority=trusted.url,
            disable_instance_discovery=True,
            connection_verify=str(trusted.ca_file),
        ) as credential,
        DataverseClient(trusted.url, credential) as sdk,
    ):
        assert sdk.tables.get("lead") is not None


def test_names_the_operation_that_calls(trusted: RunningEmulator, secret_credential: Credentials) -> None:
    context = OperationContext("app=acme-sync/1.0;agent=unknown")
    with (
        secret_credential(trusted) as credential,
        DataverseClient(trusted.url, credential, context=context) as sdk,
    ):
        assert sdk.records.create("lead", {"lastname": "Okafor"})


def test_a_closed_client_sends_nothing(trusted: RunningEmulator, secret_credential: Credentials) -> None:
    with secret_credential(trusted) as credential:
        sdk = DataverseClient(trusted.url, credential)
        assert sdk.tables.get("lead") is not None

        sdk.close()

        with pytest.raises(RuntimeError, match="closed"):
            sdk.tables.get("lead")
