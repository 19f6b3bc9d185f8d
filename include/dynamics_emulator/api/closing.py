"""WinOpportunity and LoseOpportunity: close an opportunity and record it as an activity."""

from collections.abc import Mapping
from typing import Any

from dynamics_emulator.api.arguments import read_arguments
from dynamics_emulator.api.changing import change_row, insert_row, require_row
from dynamics_emulator.api.messages import ApiRequest, ApiResponse
from dynamics_emulator.api.payload import read_payload
from dynamics_emulator.api.values import Values
from dynamics_emulator.errors import DataverseError, bad_state_pair, required_missing
from dynamics_emulator.organisation import Organisation, present_time
from dynamics_emulator.schema.model import Table

_PARAMETERS = frozenset({"Status", "OpportunityClose"})
_OPEN, WON, LOST, _DEFAULT_STATUS = 0, 1, 2, -1
_COMPLETED = 1


def win_opportunity(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """Close an opportunity as won: 204."""
    return _close(organisation, request, WON)


def lose_opportunity(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """Close an opportunity as lost: 204."""
    return _close(organisation, request, LOST)


def _close(organisation: Organisation, request: ApiRequest, state: int) -> ApiResponse:
    arguments = read_arguments(organisation, request, _PARAMETERS)
    table = organisation.schema.table("opportunity")
    status = _status(table, state, arguments.number("Status"))
    with organisation.database.transaction():
        activity = _activity(organisation, arguments.content("OpportunityClose"))
        stored = require_row(organisation, table, str(activity["opportunityid"]))
        if stored["statecode"] != _OPEN:
            raise _not_open(table, stored)
        insert_row(organisation, request, organisation.schema.table("opportunityclose"), activity)
        change_row(
            organisation,
            request,
            table,
            stored,
            {"statecode": state, "statuscode": status, **_outcome(organisation, table, activity)},
        )
    return ApiResponse(204)


def _status(table: Table, state: int, status: int) -> int:
    options = table.columns["statuscode"].options
    fitting = [option.value for option in options if option.state == state]
    if status == _DEFAULT_STATUS:
        return fitting[0]
    if status not in fitting:
        raise bad_state_pair(table.name, state, status)
    return status


def _activity(organisation: Organisation, content: Mapping[str, Any]) -> Values:
    table = organisation.schema.table("opportunityclose")
    values = read_payload(organisation, table, content, creating=True)
    if not values.get("opportunityid"):
        raise required_missing(column="opportunityid")
    completed = next(option.value for option in table.columns["statuscode"].options if option.state == _COMPLETED)
    return {**values, "statecode": _COMPLETED, "statuscode": completed}


def _outcome(organisation: Organisation, table: Table, activity: Values) -> Values:
    """The date and revenue of the activity, which the opportunity takes over."""
    ended = str(activity.get("actualend") or present_time(organisation))
    column = table.columns["actualclosedate"]
    values: Values = {"actualclosedate": ended[:10] if column.is_date_only else ended}
    if activity.get("actualrevenue") is not None:
        values["actualvalue"] = activity["actualrevenue"]
    return values


def _not_open(table: Table, stored: Values) -> DataverseError:
    state = table.columns["statecode"].labels.get(int(str(stored["statecode"])), stored["statecode"])
    text = (
        f"The {table.name} (Id={stored[table.primary_id]}) entity or component has attempted to transition from an "
        f"invalid state: {state}."
    )
    return DataverseError(400, "0x8004f00e", text)
