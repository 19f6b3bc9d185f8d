"""Who a request comes from: the user of its application, or another user in whose name it acts."""

from dataclasses import replace

from dynamics_emulator.api.access import rights_of
from dynamics_emulator.api.messages import ApiRequest, Caller
from dynamics_emulator.errors import DataverseError, row_missing, user_disabled
from dynamics_emulator.odata.paths import guid_key
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.security.privileges import ACT_ON_BEHALF
from dynamics_emulator.security.rights import Rights

_BY_OBJECT_ID = "callerobjectid"
_BY_USER_ID = "mscrmcallerid"


def application_caller(organisation: Organisation, client_id: str, *, fresh: bool) -> Caller:
    """The user that belongs to an application.

    Raises 0x80072560 when the organisation has none, 0x80040225 when it is disabled. ``fresh`` rights pass the cache.
    """
    query = "SELECT systemuserid, ifnull(isdisabled, 0) FROM systemuser WHERE applicationid = ?"
    row = organisation.database.connection.execute(query, (client_id.lower(),)).fetchone()
    if row is None:
        status = organisation.settings.unknown_user_status
        raise DataverseError(status, "0x80072560", "The user is not a member of the organization.")
    _require_enabled(organisation, row)
    return Caller(row[0], client_id, rights=_rights(organisation, row[0], fresh=fresh))


def acting(organisation: Organisation, request: ApiRequest) -> ApiRequest:
    """The request in the name of the user that its headers tell; as it is when they tell none.

    Raises a 403 (0x8004a110) when the caller may not act for others, 0x80040217 when no such user exists.
    """
    by_object, by_user = request.headers.get(_BY_OBJECT_ID), request.headers.get(_BY_USER_ID)
    if not by_object and not by_user:
        return request
    column = "azureactivedirectoryobjectid" if by_object else "systemuserid"
    real = _real_caller(organisation, request)
    own = rights_of(organisation, real)
    if not own.holds(ACT_ON_BEHALF):
        text = "User does not have the privilege to act on behalf another user."
        raise DataverseError(403, "0x8004a110", text)
    user_id = _find_user(organisation, column, guid_key(by_object or by_user or ""))
    if user_id == real.user_id:
        return replace(request, caller=real)
    rights = _rights(organisation, user_id, fresh=wants_fresh_rights(request)).within(own)
    return replace(request, caller=Caller(user_id, real.client_id, real.user_id, rights))


def wants_fresh_rights(request: ApiRequest) -> bool:
    """Whether the request is to see changed roles at once."""
    return request.headers.get("consistency", "").lower() == "strong"


def _real_caller(organisation: Organisation, request: ApiRequest) -> Caller:
    """The application's own user, also for a part of a batch that acts for another as a whole."""
    caller = request.caller
    if caller.acting_user_id is None and caller.rights is not None:
        return caller
    return application_caller(organisation, caller.client_id, fresh=wants_fresh_rights(request))


def _find_user(organisation: Organisation, column: str, value: str) -> str:
    query = f"SELECT systemuserid, ifnull(isdisabled, 0) FROM systemuser WHERE {column} = ?"
    row = organisation.database.connection.execute(query, (value,)).fetchone()
    if row is None:
        missing = row_missing("SystemUser", value)
        raise replace(missing, status=organisation.settings.unknown_impersonated_status)
    _require_enabled(organisation, row)
    return str(row[0])


def _require_enabled(organisation: Organisation, row: tuple[str, int]) -> None:
    user_id, disabled = row
    if disabled:
        status = organisation.settings.disabled_user_status
        raise user_disabled(status, user_id, organisation.identity.unique_name)


def _rights(organisation: Organisation, user_id: str, *, fresh: bool) -> Rights:
    seconds = organisation.settings.permission_cache_seconds
    return organisation.security.rights(user_id, organisation.clock.now(), cache_seconds=seconds, fresh=fresh)
