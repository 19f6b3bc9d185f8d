"""QualifyLead: makes an account, a contact and an opportunity out of a lead, and closes it."""

from collections.abc import Mapping
from dataclasses import dataclass

from dynamics_emulator.api.access import require
from dynamics_emulator.api.arguments import Arguments, invalid_argument, read_arguments
from dynamics_emulator.api.changing import change_row, insert_row, require_row
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, json_response
from dynamics_emulator.api.values import Values
from dynamics_emulator.api.writing import overwrite
from dynamics_emulator.errors import DataverseError, bad_state_pair
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.described import CRM
from dynamics_emulator.schema.model import Table
from dynamics_emulator.security.privileges import Right

_PARAMETERS = frozenset(
    {
        "CreateAccount",
        "CreateContact",
        "CreateOpportunity",
        "Status",
        "OpportunityCurrencyId",
        "OpportunityCustomerId",
        "SourceCampaignId",
        "ProcessInstanceId",
    }
)
_OPEN, _QUALIFIED, _DEFAULT_STATUS = 0, 1, -1

_CONSENT = ("donotpostalmail", "donotphone", "donotfax", "donotsendmm", "donotemail", "donotbulkemail")
_ADDRESS = ("country", "city", "line1", "line2", "line3", "postalcode", "stateorprovince")
_SHARED = (
    *_CONSENT,
    *(f"address1_{part}" for part in _ADDRESS),
    *("emailaddress1", "fax", "websiteurl", "telephone2", "description"),
)
_TO_ACCOUNT: Mapping[str, str] = {
    **{name: name for name in (*_SHARED, "sic")},
    "companyname": "name",
    "yomicompanyname": "yominame",
}
_CONTACT_ONLY = (
    *("firstname", "lastname", "yomifirstname", "yomimiddlename", "yomilastname", "jobtitle"),
    *("mobilephone", "pager", "telephone3", "emailaddress2", "emailaddress3"),
)
_TO_CONTACT: Mapping[str, str] = {name: name for name in (*_SHARED, *_CONTACT_ONLY)}
_TO_OPPORTUNITY: Mapping[str, str] = {
    "subject": "name",
    "qualificationcomments": "qualificationcomments",
    "description": "description",
}


@dataclass
class _Made:
    """The rows that a lead becomes: keys by table, those of rows that it already belongs to included."""

    account: str | None
    contact: str | None
    created: list[tuple[str, str]]


def qualify_lead(organisation: Organisation, request: ApiRequest, table: Table, row_id: str) -> ApiResponse:
    """Qualify an open lead. Raises a 400 (0x80040519) for a closed one; nothing is written then."""
    arguments = read_arguments(organisation, request, _PARAMETERS)
    status = _status(table, arguments)
    with organisation.database.transaction():
        lead = require_row(organisation, table, row_id)
        if lead["statecode"] != _OPEN:
            raise DataverseError(400, "0x80040519", "The lead is already closed.")
        made = _make_people(organisation, request, arguments, lead)
        opportunity = _make_opportunity(organisation, request, arguments, lead, made)
        closing = _closing(organisation, made, opportunity)
        change_row(organisation, request, table, lead, {**closing, "statecode": _QUALIFIED, "statuscode": status})
    return _answer(organisation, request, made.created)


def _status(table: Table, arguments: Arguments) -> int:
    status = arguments.number("Status")
    column = table.columns["statecode"]
    defaults = {option.value: option.default_status for option in column.options}
    if status == _DEFAULT_STATUS:
        return defaults[_QUALIFIED] or status
    states = {option.value: option.state for option in table.columns["statuscode"].options}
    if states.get(status) != _QUALIFIED:
        raise bad_state_pair(table.name, _QUALIFIED, status)
    return status


def _make_people(organisation: Organisation, request: ApiRequest, arguments: Arguments, lead: Values) -> _Made:
    made = _Made(_text(lead["parentaccountid"]), _text(lead["parentcontactid"]), [])
    wants_account, wants_contact = arguments.flag("CreateAccount"), arguments.flag("CreateContact")
    if wants_account:
        _require_account_right(organisation, request)
        made.account = _make(organisation, request, "account", _mapped(lead, _TO_ACCOUNT))
        made.created.append(("account", made.account))
    if wants_contact:
        values = _mapped(lead, _TO_CONTACT)
        if made.account:
            values |= {"parentcustomerid": made.account, "parentcustomerid__type": "account"}
        made.contact = _make(organisation, request, "contact", values)
        made.created.append(("contact", made.contact))
    if wants_account and wants_contact and made.account:
        overwrite(organisation, organisation.schema.table("account"), made.account, {"primarycontactid": made.contact})
    return made


def _require_account_right(organisation: Organisation, request: ApiRequest) -> None:
    try:
        require(organisation, organisation.schema.table("account"), request.caller, Right.CREATE)
    except DataverseError as refusal:
        text = (
            "You can't qualify this lead because you don't have permission to create accounts. Work with your system "
            "administrator to create the account and then try again."
        )
        raise DataverseError(refusal.status, "0x80081018", text) from refusal


def _make_opportunity(
    organisation: Organisation, request: ApiRequest, arguments: Arguments, lead: Values, made: _Made
) -> str | None:
    if not arguments.flag("CreateOpportunity"):
        return None
    values = _mapped(lead, _TO_OPPORTUNITY)
    values |= {"parentaccountid": made.account, "parentcontactid": made.contact}
    values |= _customer(arguments, made)
    currency = _named(arguments, "OpportunityCurrencyId", "transactioncurrency")
    values["transactioncurrencyid"] = currency or lead["transactioncurrencyid"]
    values["campaignid"] = _named(arguments, "SourceCampaignId", "campaign") or lead["campaignid"]
    found = _make(organisation, request, "opportunity", values)
    made.created.append(("opportunity", found))
    return found


def _named(arguments: Arguments, name: str, table: str) -> str | None:
    found = arguments.optional_row(name)
    if found and found[0].name != table:
        raise invalid_argument()
    return found[1] if found else None


def _customer(arguments: Arguments, made: _Made) -> Values:
    named = arguments.optional_row("OpportunityCustomerId")
    if named and named[0].name not in ("account", "contact"):
        text = "CustomerIdType for opportunity can either be an account or contact"
        raise DataverseError(400, "0x80040203", text)
    if named:
        return {"customerid": named[1], "customerid__type": named[0].name}
    if made.account:
        return {"customerid": made.account, "customerid__type": "account"}
    return {"customerid": made.contact, "customerid__type": "contact"} if made.contact else {}


def _closing(organisation: Organisation, made: _Made, opportunity: str | None) -> Values:
    values: Values = {"qualifyingopportunityid": opportunity} if opportunity else {}
    if organisation.settings.qualify_fills_lead:
        values |= {"parentaccountid": made.account, "parentcontactid": made.contact}
    return values


def _mapped(lead: Values, columns: Mapping[str, str]) -> Values:
    return {
        **{to: lead[name] for name, to in columns.items() if lead.get(name) is not None},
        "originatingleadid": lead["leadid"],
    }


def _make(organisation: Organisation, request: ApiRequest, name: str, values: Values) -> str:
    table = organisation.schema.table(name)
    return insert_row(organisation, request, table, {key: values[key] for key in values if _stored(table, key)})


def _stored(table: Table, name: str) -> bool:
    """Whether the table has a mapped column; an organisation may have lost it."""
    return name.removesuffix("__type") in table.columns


def _answer(organisation: Organisation, request: ApiRequest, created: list[tuple[str, str]]) -> ApiResponse:
    if organisation.settings.qualify_lead_answer == "empty":
        return ApiResponse(204)
    rows = [
        {"@odata.type": f"#{CRM}.{name}", organisation.schema.table(name).primary_id: row_id}
        for name, row_id in created
    ]
    return json_response({"@odata.context": f"{request.base}/$metadata#Collection({CRM}.crmbaseentity)", "value": rows})


def _text(value: object) -> str | None:
    return None if value is None else str(value)
