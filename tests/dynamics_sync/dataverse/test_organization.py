"""Who the organisation is, and who we are in it."""

from urllib.parse import unquote

import pytest

from dynamics_sync import errors
from dynamics_sync.dataverse.organization import Caller, Organization, read_organization, total_record_count, who_am_i

DETAIL = {
    "OrganizationId": "o", "EnvironmentId": "e", "UniqueName": "u", "TenantId": "t", "UrlName": "acme",
    "FriendlyName": "Acme", "OrganizationVersion": "9.2", "Endpoints": {"Count": 0, "Keys": [], "Values": []},
}  # fmt: skip


def test_the_five_properties_that_tell_a_copy(rig, reply) -> None:
    made = rig([reply(body={"@odata.context": "x", "Detail": DETAIL})])
    assert read_organization(made.client) == Organization("o", "e", "u", "t", "acme", "Acme", "9.2")
    assert unquote(made.paths[0]) == (
        "RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'"
    )


def test_who_am_i(rig, reply) -> None:
    made = rig([reply(body={"UserId": "u", "BusinessUnitId": "b", "OrganizationId": "o"})])
    assert who_am_i(made.client) == Caller("u", "b", "o")


def test_the_count_of_a_table(rig, reply) -> None:
    counts = {"EntityRecordCountCollection": {"Count": 1, "Keys": ["lead"], "Values": [51234]}}
    made = rig([reply(body=counts)])
    assert total_record_count(made.client, "lead") == 51234
    assert unquote(made.paths[0]) == 'RetrieveTotalRecordCount(EntityNames=@p1)?@p1=["lead"]'


@pytest.mark.parametrize("counts", [{"Keys": [], "Values": []}, {"Keys": ["lead"], "Values": []}])
def test_a_count_that_is_not_there_is_never_zero(rig, reply, counts) -> None:
    with pytest.raises(errors.UnexpectedAnswer, match="lead"):
        total_record_count(rig([reply(body={"EntityRecordCountCollection": counts})]).client, "lead")


@pytest.mark.parametrize("body", [{}, {"Detail": {}}, {"UserId": None}])
def test_answers_of_another_shape_are_unexpected(rig, reply, body) -> None:
    with pytest.raises(errors.UnexpectedAnswer):
        read_organization(rig([reply(body=body)]).client)
    with pytest.raises(errors.UnexpectedAnswer):
        who_am_i(rig([reply(body=body)]).client)
