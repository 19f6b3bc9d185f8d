"""Metadata query expressions, as ``RetrieveMetadataChanges`` takes them: which items, and which properties."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from dynamics_emulator.errors import bad_query
from dynamics_emulator.schema.described import CRM, Described

_ALWAYS = ("MetadataId", "HasChanged")
_OPERATORS: Mapping[str, Callable[[str, Sequence[str]], bool]] = {
    "Equals": lambda value, others: value == others[0],
    "NotEquals": lambda value, others: value != others[0],
    "In": lambda value, others: value in others,
    "NotIn": lambda value, others: value not in others,
    "GreaterThan": lambda value, others: float(value) > float(others[0]),
    "LessThan": lambda value, others: float(value) < float(others[0]),
}


@dataclass(frozen=True)
class MetadataQuery:
    """Criteria and properties of one kind of items; no named properties at all means every property."""

    criteria: Mapping[str, Any]
    properties: frozenset[str] | None

    @classmethod
    def read(cls, raw: Mapping[str, Any], kind: str) -> Self:
        """Read a query expression. Raises a 400 when it has another shape."""
        criteria, properties = raw.get("Criteria") or {}, raw.get("Properties") or {}
        if not isinstance(criteria, dict) or not isinstance(properties, dict):
            message = f"The query for {kind} is not a MetadataQueryExpression."
            raise bad_query(message)
        named = properties.get("PropertyNames")
        everything = properties.get("AllProperties") is True or (named is None and "Properties" not in raw)
        return cls(criteria, None if everything else frozenset(named or ()))

    def wants(self, name: str) -> bool:
        """Whether a property is to be shown."""
        return self.properties is None or name in self.properties

    def shown(self, item: Described) -> dict[str, Any]:
        """The wanted properties that the item has; others are left out."""
        return {name: value for name, value in item.properties.items() if name in _ALWAYS or self.wants(name)}

    def fits(self, item: Described) -> bool:
        """Whether an item fits the criteria. Raises a 400 for unknown properties and operators."""
        return _fits(self.criteria, item)


def _fits(criteria: Mapping[str, Any], item: Described) -> bool:
    verdicts = [_meets(condition, item) for condition in criteria.get("Conditions") or ()]
    verdicts += [_fits(inner, item) for inner in criteria.get("Filters") or ()]
    return not verdicts or (any(verdicts) if criteria.get("FilterOperator") == "Or" else all(verdicts))


def _meets(condition: Mapping[str, Any], item: Described) -> bool:
    name, operation = str(condition.get("PropertyName")), str(condition.get("ConditionOperator"))
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
    return _OPERATORS[operation](_text(plain), _operands(condition.get("Value")))


def _operands(value: Any) -> list[str]:
    found = value.get("Value") if isinstance(value, dict) else value
    return [_text(part) for part in found] if isinstance(found, list) else [_text(found)]


def _text(value: object) -> str:
    return "" if value is None else str(value).lower()
