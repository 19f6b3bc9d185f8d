"""Refusals of the Web API, with the codes and texts that Dataverse sends."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class DataverseError(Exception):
    """An answer that is an error: HTTP status, Dataverse code and message."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.message)


def bad_query(message: str) -> DataverseError:
    """A query that cannot be understood (400, 0x80060888)."""
    return DataverseError(400, "0x80060888", message)


def unexpected() -> DataverseError:
    """A fault of the service itself (500, 0x80040216)."""
    return DataverseError(500, "0x80040216", "An unexpected error occurred.")


def unknown_property(name: str, table: str) -> DataverseError:
    """A column that the table does not have, or that is not published."""
    return bad_query(f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table}'.")


def too_many_conditions() -> DataverseError:
    """A filter with more conditions, or more deeply nested ones, than the service takes (400, 0x8004430c)."""
    return DataverseError(400, "0x8004430c", "Number of conditions in query exceeded maximum limit.")


def unknown_segment(segment: str) -> DataverseError:
    """A path that names no entity set, function or property."""
    return DataverseError(404, "0x80060888", f"Resource not found for the segment '{segment}'.")


def unrecognized_path() -> DataverseError:
    """A bind or reference that names no entity set."""
    text = (
        "URL was not parsed due to an ODataUnrecognizedPathException. "
        "Resource not found for the segment provided in the URL."
    )
    return bad_query(text)


def row_missing(table: str, row_id: str) -> DataverseError:
    """No row has this id (404, 0x80040217)."""
    return DataverseError(404, "0x80040217", f"{table} With Id = {row_id} Does Not Exist")


def duplicate_key() -> DataverseError:
    """A row with this primary key exists (412, 0x80040237)."""
    return DataverseError(412, "0x80040237", "A record with matching key values already exists.")


def version_mismatch() -> DataverseError:
    """If-Match names another version than the row has (412, 0x80060882)."""
    text = "The version of the existing record doesn't match the RowVersion property provided."
    return DataverseError(412, "0x80060882", text)


def payload_error(set_name: str, inner: str) -> DataverseError:
    """A body that does not fit the table (400, 0x80048d19)."""
    text = (
        f"Error identified in Payload provided by the user for Entity :'{set_name}', For more information on this "
        "error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293 ----> "
        f"InnerException : Microsoft.OData.ODataException: {inner}"
    )
    return DataverseError(400, "0x80048d19", text)


def undeclared_bind(set_name: str, name: str) -> DataverseError:
    """``<name>@odata.bind`` where the table has no such navigation property."""
    inner = (
        f"An undeclared property '{name}' which only has property annotations in the payload but no property value "
        "was found in the payload. In OData, only declared navigation properties and declared named streams can be "
        "represented as properties without values."
    )
    return payload_error(set_name, inner)


def lookup_written_directly() -> DataverseError:
    """A guid assigned to a lookup column instead of a bind."""
    text = "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead."
    return bad_query(text)


def text_too_long(column: str, table: str, limit: int) -> DataverseError:
    """A string longer than the column allows (400, 0x80044331). The two blanks are Dataverse's own."""
    text = (
        f"A validation error occurred.  The length of the '{column}' attribute of the '{table}' entity exceeded the "
        f"maximum allowed length of '{limit}'."
    )
    return DataverseError(400, "0x80044331", text)


def option_out_of_range(column: str, table: str, value: object) -> DataverseError:
    """An option that the list does not have (400, 0x8004431a)."""
    text = (
        f"The picklist value is out of the range. The value {value} of '{column}' on record of type '{table}' is "
        "outside the valid range."
    )
    return DataverseError(400, "0x8004431a", text)


def number_out_of_range(column: str, table: str, value: object) -> DataverseError:
    """A number below the minimum or above the maximum of its column."""
    text = (
        f"A validation error occurred. The value {value} of '{column}' on record of type '{table}' is outside the "
        "valid range."
    )
    return DataverseError(400, "0x80040203", text)


def date_out_of_range(column: str, table: str) -> DataverseError:
    """A date before 1753, or one that must not lie ahead and does (400, 0x80040239)."""
    text = f"The value of '{column}' on record of type '{table}' is outside the supported range of dates."
    return DataverseError(400, "0x80040239", text)


def bad_state_pair(table: str, state: object, status: object) -> DataverseError:
    """A status reason that does not belong to the state (400, 0x80048408)."""
    text = (
        "State code is invalid or state code is valid but status code is invalid for a specified state code. "
        f"{status} is not a valid status code for state code {state} on {table}."
    )
    return DataverseError(400, "0x80048408", text)


def privilege_missing(user_id: str, privilege: str, table: str, roles: int = 1, privileges: int = 1) -> DataverseError:
    """The caller may not do this on the table (403, 0x80040220); the counts are those of its roles and privileges."""
    text = (
        f"Principal user (Id={user_id}, type=8, roleCount={roles}, privilegeCount={privileges}, accessMode=4) is "
        f"missing {privilege} privilege on OTC=0 for entity '{table}' (LocalizedName='{table}'). "
        f"context.Caller={user_id}."
    )
    return DataverseError(403, "0x80040220", text)


def row_refused(
    code: str, user_id: str, table: str, row: Mapping[str, object], key: str, access: str
) -> DataverseError:
    """The caller's privilege does not reach this row (403); ``access`` is such as ``ReadAccess``."""
    text = (
        f"SecLib::AccessCheckEx failed. Returned hr = -2147187962, ObjectID: {row.get(key)}, OwnerId: "
        f"{row.get('ownerid')},  OwnerIdType: {9 if row.get('ownerid__type') == 'team' else 8} and CallingUser: "
        f"{user_id}. ObjectTypeCode: 0 ({table}), objectBusinessUnitId: {row.get('owningbusinessunit')}, "
        f"AccessRights: {access}"
    )
    return DataverseError(403, code, text)


def owner_without_privilege(owner_id: str, privilege: str, *, team: bool) -> DataverseError:
    """A row was to be given to a user or team that may not read such rows (403, 0x80040231)."""
    text = f"Principal {'team' if team else 'user'} (Id={owner_id}) is missing {privilege} privilege."
    return DataverseError(403, "0x80040231", f"{text} Target user or team does not hold required privileges.")


def user_disabled(status: int, user_id: str, organisation: str) -> DataverseError:
    """The caller's user is disabled (0x80040225)."""
    text = f"The user with SystemUserId={user_id} in OrganizationContext={organisation} is disabled"
    return DataverseError(status, "0x80040225", text)


def method_not_allowed(method: str) -> DataverseError:
    """A verb that the path does not take (405)."""
    return DataverseError(405, "0x8006088a", f"The requested resource does not support http method '{method}'.")


def key_missing(table: str) -> DataverseError:
    """No row has these alternate key values (404, 0x80060891)."""
    return DataverseError(404, "0x80060891", f"A record with the specified key values does not exist in {table} entity")


def key_not_defined(table: str) -> DataverseError:
    """The columns in the parentheses are no key of the table (400, 0x80060890)."""
    text = f"The specified key attributes are not a defined key for the {table} entity"
    return DataverseError(400, "0x80060890", text)


def key_not_ready(name: str, status: str) -> DataverseError:
    """The index of an alternate key is not active, so the key cannot be used yet (400, 0x8006088f)."""
    text = f"Invalid EntityKey Operation performed : the index of entity key {name} is {status}, not Active"
    return DataverseError(400, "0x8006088f", text)


def key_ambiguous(table: str, columns: str) -> DataverseError:
    """Several rows have the same alternate key values (400, 0x8006089d)."""
    text = f"More than one record exists for entity {table} with entity key involving attributes {columns}"
    return DataverseError(400, "0x8006089d", text)


def key_taken(key: str, columns: str, status: int) -> DataverseError:
    """Another row has these alternate key values (0x80060892)."""
    text = (
        f"Entity Key {key} violated. A record with the same value for {columns} already exists. "
        "A duplicate record cannot be created. Select one or more unique values and try again."
    )
    return DataverseError(status, "0x80060892", text)


def duplicate_found(status: int) -> DataverseError:
    """A published duplicate detection rule matches another row (0x80040333)."""
    text = "A record was not created or updated because a duplicate of the current record already exists."
    return DataverseError(status, "0x80040333", text)


def required_missing(column: str) -> DataverseError:
    """A column that the system needs has no value (400, 0x80040203)."""
    return DataverseError(400, "0x80040203", f"Required field '{column}' is missing")


def deletion_restricted() -> DataverseError:
    """Other rows need the row that is to be deleted (405, 0x80040227)."""
    text = "The object you tried to delete is associated with another object and cannot be deleted."
    return DataverseError(405, "0x80040227", text)


def refused_by_rule(message: str) -> DataverseError:
    """A plug-in or a business rule refused the write; the text is its own (400, 0x80040265)."""
    return DataverseError(400, "0x80040265", message)


def unresolved_parameters() -> DataverseError:
    """An action was sent a parameter that it does not have (400, 0x8006088a)."""
    return DataverseError(400, "0x8006088a", "Request message has unresolved parameters.")


def versions_not_enabled(table: str) -> DataverseError:
    """If-Match with a version on a table without optimistic concurrency (400, 0x8006088d)."""
    text = (
        f"Optimistic concurrency isn't enabled for entity type {table}. The IfVersionMatches value of "
        "ConcurrencyBehavior can only be used if optimistic concurrency is enabled."
    )
    return DataverseError(400, "0x8006088d", text)
