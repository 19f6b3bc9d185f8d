"""The parts of which metadata answers are made."""

import uuid
from dataclasses import dataclass, field
from typing import Any

_NAMESPACE = uuid.UUID("7e57ab1e-0000-4000-8000-0000000000ff")
CRM = "Microsoft.Dynamics.CRM"


@dataclass(frozen=True)
class Described:
    """One metadata item: its properties, and the items behind its navigation properties."""

    type_name: str
    properties: dict[str, Any]
    navigations: dict[str, Any] = field(default_factory=dict)
    own_properties: frozenset[str] = frozenset()
    """Properties that only the derived type has: without a cast they cannot be selected."""


def metadata_id(*parts: str) -> str:
    """A stable id for a piece of metadata."""
    return str(uuid.uuid5(_NAMESPACE, ":".join(parts)))


def label(text: str) -> dict[str, Any]:
    """A localized label in English."""
    localized = {
        "Label": text,
        "LanguageCode": 1033,
        "IsManaged": True,
        "MetadataId": metadata_id("label", text),
        "HasChanged": None,
    }
    return {"LocalizedLabels": [localized], "UserLocalizedLabel": localized}


def managed(value: object, name: str) -> dict[str, Any]:
    """A managed property."""
    return {"Value": value, "CanBeChanged": True, "ManagedPropertyLogicalName": name}
