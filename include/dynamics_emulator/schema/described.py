"""The parts of which metadata answers are made."""

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_NAMESPACE = uuid.UUID("7e57ab1e-0000-4000-8000-0000000000ff")
CRM = "Microsoft.Dynamics.CRM"
_ADDRESS = re.compile(r"address\d_")
_STANDARD = frozenset(
    {
        "opendeals_date",
        "opendeals_state",
        "openrevenue_date",
        "openrevenue_state",
        "schedulefollowup_prospect",
        "schedulefollowup_qualify",
    }
)
"""Columns of Microsoft's own that look as if they had a prefix."""
ENGLISH = 1033
Translations = Iterable[tuple[int, str]]


@dataclass(frozen=True)
class Described:
    """One metadata item: its properties, and the items behind its navigation properties."""

    type_name: str
    properties: dict[str, Any]
    navigations: dict[str, Any] = field(default_factory=dict)
    own_properties: frozenset[str] = frozenset()
    """Properties that only the derived type has: without a cast they cannot be selected."""
    base: str = ""
    """The type that lists of such items have when the URL casts them to nothing."""


def metadata_id(*parts: str) -> str:
    """A stable id for a piece of metadata."""
    return str(uuid.uuid5(_NAMESPACE, ":".join(parts)))


def label(text: str, translations: Translations = ()) -> dict[str, Any]:
    """A label in English and whatever other languages it has; an empty one has no languages at all."""
    texts = [(ENGLISH, text), *translations] if text else []
    localized = [
        {
            "Label": translated,
            "LanguageCode": language,
            "IsManaged": True,
            "MetadataId": metadata_id("label", str(language), translated),
            "HasChanged": None,
        }
        for language, translated in texts
    ]
    return {"LocalizedLabels": localized, "UserLocalizedLabel": localized[0] if localized else None}


def managed(value: object, name: str, *, changeable: bool = True) -> dict[str, Any]:
    """A managed property."""
    return {"Value": value, "CanBeChanged": changeable, "ManagedPropertyLogicalName": name}


def is_custom(name: str) -> bool:
    """Whether a logical or schema name has a publisher's prefix, such as ``acme_``."""
    bare = name.lower().removesuffix("_base")
    return "_" in bare and bare not in _STANDARD and _ADDRESS.match(bare) is None
