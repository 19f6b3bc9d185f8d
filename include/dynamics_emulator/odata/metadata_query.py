"""Metadata query expressions, as ``RetrieveMetadataChanges`` takes them: which items, and which properties."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_pascal

from dynamics_emulator.errors import bad_query
from dynamics_emulator.schema.described import CRM, Described

_ALWAYS = ("MetadataId", "HasChanged")
_OPERATORS: Mapping[str, Callable[[str, Sequence[str]], bool]] = {
    "Equals": lambda value, others: value == others[0],
    "NotEquals": lambda value, others: value != others[0],
    "In": lambda value, others: value in others,
    "NotIn": lambda value, others: value not in others,
    "GreaterThan": lambda value, others: value != "" and float(value) > float(others[0]),
    "LessThan": lambda value, others: value != "" and float(value) < float(others[0]),
}


class _Expression(BaseModel):
    """A part of a query; a member that is null is as good as left out."""

    model_config = ConfigDict(frozen=True, alias_generator=to_pascal)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, raw: object) -> object:
        return {name: value for name, value in raw.items() if value is not None} if isinstance(raw, dict) else raw


class Condition(_Expression):
    """A comparison of one property."""

    property_name: str
    condition_operator: str
    value: Any = None

    def meets(self, item: Described) -> bool:
        """Whether an item meets it. Raises a 400 for an unknown property or operator, and for a value unfit for it."""
        name, operation = self.property_name, self.condition_operator
        if name not in item.properties:
            if item.base:
                # Items of one list have different types: what a type lacks it cannot fulfil.
                return False
            message = f"The type {item.type_name} does not have a property named {name}"
            raise bad_query(message)
        if operation not in _OPERATORS:
            message = f"Unknown ConditionOperator '{operation}' in type {CRM}.MetadataConditionOperator."
            raise bad_query(message)
        value = item.properties[name]
        plain = value.get("Value") if isinstance(value, dict) else value
        try:
            return _OPERATORS[operation](_text(plain), _operands(self.value))
        except (ValueError, IndexError) as problem:
            message = f"The Value of the condition on {name} does not fit {operation}."
            raise bad_query(message) from problem


class Criteria(_Expression):
    """Conditions and further criteria, of which all or any must hold."""

    filter_operator: Literal["And", "Or"] = "And"
    conditions: tuple[Condition, ...] = ()
    filters: tuple["Criteria", ...] = ()

    def fit(self, item: Described) -> bool:
        """Whether they hold for an item. Raises a 400 as a condition does."""
        verdicts = [condition.meets(item) for condition in self.conditions]
        verdicts += [inner.fit(item) for inner in self.filters]
        return not verdicts or (any(verdicts) if self.filter_operator == "Or" else all(verdicts))


class Properties(_Expression):
    """Names of properties, or all of them."""

    all_properties: bool = False
    property_names: frozenset[str] = frozenset()


class MetadataQuery(_Expression):
    """Criteria and properties of one kind of items; without ``Properties`` every property is shown."""

    criteria: Criteria = Criteria()
    properties: Properties = Properties(AllProperties=True)

    def wants(self, name: str) -> bool:
        """Whether a property is to be shown."""
        return self.properties.all_properties or name in self.properties.property_names

    def shown(self, item: Described) -> dict[str, Any]:
        """The wanted properties that the item has; others are left out."""
        return {name: value for name, value in item.properties.items() if name in _ALWAYS or self.wants(name)}

    def fits(self, item: Described) -> bool:
        """Whether an item fits the criteria. Raises a 400 for unknown properties and operators."""
        return self.criteria.fit(item)


class EntityQuery(MetadataQuery):
    """A query of tables, with queries of what hangs on them."""

    attribute_query: MetadataQuery = MetadataQuery()
    key_query: MetadataQuery = MetadataQuery()
    relationship_query: MetadataQuery = MetadataQuery()

    @classmethod
    def read(cls, text: str) -> Self:
        """Read the JSON of an EntityQueryExpression, or ``null``. Raises a 400 when it has another shape."""
        try:
            return cls.model_validate_json("{}" if text == "null" else text)
        except ValidationError as problem:
            message = "The Query parameter is not an EntityQueryExpression."
            raise bad_query(message) from problem

    def behind(self, navigation: str) -> MetadataQuery:
        """The query of the items behind a navigation property of a table."""
        match navigation:
            case "Attributes":
                return self.attribute_query
            case "Keys":
                return self.key_query
            case _:
                return self.relationship_query


def _operands(value: Any) -> list[str]:
    found = value.get("Value") if isinstance(value, dict) else value
    return [_text(part) for part in found] if isinstance(found, list) else [_text(found)]


def _text(value: object) -> str:
    return "" if value is None else str(value).lower()
