"""The JSON of Dataverse's table definitions, and the queries that ask for it."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

MULTI_SELECT = "MultiSelectPicklist"


class Value(msgspec.Struct, rename="pascal"):
    value: str | None = None


class Label(msgspec.Struct, rename="pascal"):
    label: str | None = None


class Labels(msgspec.Struct, rename="pascal"):
    user_localized_label: Label | None = None
    localized_labels: list[Label] = []


class Option(msgspec.Struct, rename="pascal"):
    value: int
    label: Labels | None = None

    @property
    def text(self) -> str:
        """The label for the user's language; a label that is not translated has only the base language."""
        if self.label is None:
            return ""
        first = self.label.user_localized_label or next(iter(self.label.localized_labels), None)
        return (first.label if first else None) or ""


class OptionSet(msgspec.Struct, rename="pascal"):
    options: list[Option] | None = None
    true_option: Option | None = None
    false_option: Option | None = None

    def as_mapping(self) -> Mapping[int, str]:
        options = self.options or [item for item in (self.false_option, self.true_option) if item]
        return MappingProxyType({option.value: option.text for option in options})


class Attribute(msgspec.Struct, rename="pascal"):
    logical_name: str
    attribute_type: str | None = None
    attribute_of: str | None = None
    required_level: Value | None = None
    is_valid_for_read: bool | None = None
    is_valid_for_create: bool | None = None
    is_valid_for_update: bool | None = None
    is_valid_for_odata: bool | None = msgspec.field(default=None, name="IsValidODataAttribute")
    max_length: int | None = None
    precision: int | None = None
    format: str | None = None
    date_time_behavior: Value | None = None
    targets: list[str] | None = None
    option_set: OptionSet | None = None
    global_option_set: OptionSet | None = None


class Attributes(msgspec.Struct):
    value: list[Attribute]


class Definition(msgspec.Struct, rename="pascal"):
    logical_name: str
    entity_set_name: str
    primary_id_attribute: str
    primary_name_attribute: str | None = None
    change_tracking_enabled: bool | None = None
    is_optimistic_concurrency_enabled: bool | None = None


class Definitions(msgspec.Struct):
    value: list[Definition]


DEFINITION = msgspec.json.Decoder(Definition)
ATTRIBUTES = msgspec.json.Decoder(Attributes)
DEFINITIONS = msgspec.json.Decoder(Definitions)

DEFINITION_QUERY = (
    "$select=LogicalName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute,"
    "ChangeTrackingEnabled,IsOptimisticConcurrencyEnabled"
)
ATTRIBUTE_QUERY = (
    "$select=LogicalName,AttributeType,AttributeOf,RequiredLevel,"
    "IsValidForRead,IsValidForCreate,IsValidForUpdate,IsValidODataAttribute"
    "&$filter=AttributeOf%20eq%20null"
)
_OPTIONS = "$select=LogicalName&$expand=OptionSet"
# Properties of one type can only be asked for with a cast to it; a cast to their common base is refused.
CASTS: Mapping[str, str] = MappingProxyType(
    {
        "String": "$select=LogicalName,MaxLength,Format",
        "Memo": "$select=LogicalName,MaxLength",
        "Money": "$select=LogicalName,Precision",
        "Decimal": "$select=LogicalName,Precision",
        "Double": "$select=LogicalName,Precision",
        "DateTime": "$select=LogicalName,DateTimeBehavior,Format",
        "Lookup": "$select=LogicalName,Targets",
        "Picklist": "$select=LogicalName&$expand=OptionSet,GlobalOptionSet",
        MULTI_SELECT: "$select=LogicalName&$expand=OptionSet,GlobalOptionSet",
        "State": _OPTIONS,
        "Status": _OPTIONS,
        "Boolean": _OPTIONS,
    }
)
