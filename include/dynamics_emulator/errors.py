"""Refusals of the Web API, with the codes and texts that Dataverse sends."""

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
        f"A validation error occurred. The value {value} of '{column}' on record of type '{table}' is outside the "
        "valid range. Accepted Values: see the option set of the column."
    )
    return DataverseError(400, "0x8004431a", text)


def number_out_of_range(column: str, table: str, value: object) -> DataverseError:
    """A number below the minimum or above the maximum of its column."""
    text = (
        f"A validation error occurred. The value {value} of '{column}' on record of type '{table}' is outside the "
        "valid range."
    )
    return DataverseError(400, "0x80040203", text)


def bad_state_pair(table: str, state: object, status: object) -> DataverseError:
    """A status reason that does not belong to the state (400, 0x80048408)."""
    text = f"{status} is not a valid status code for state code {state} on {table}."
    return DataverseError(400, "0x80048408", text)


def privilege_missing(user_id: str, privilege: str, table: str) -> DataverseError:
    """The caller may not do this on the table (403, 0x80040220)."""
    text = (
        f"Principal user (Id={user_id}, type=8, roleCount=1, privilegeCount=1, accessMode=4) is missing {privilege} "
        f"privilege on OTC=0 for entity '{table}' (LocalizedName='{table}'). context.Caller={user_id}."
    )
    return DataverseError(403, "0x80040220", text)


def method_not_allowed(method: str) -> DataverseError:
    """A verb that the path does not take (405)."""
    return DataverseError(405, "0x8006088a", f"The requested resource does not support http method '{method}'.")
