"""Kinds of tenants: the schema that an organisation starts with."""

import json
from enum import StrEnum
from functools import cache
from importlib.resources import files

from dynamics_emulator.schema.changes import apply_changes
from dynamics_emulator.schema.model import Schema
from dynamics_emulator.schema.source import default_schema


class Profile(StrEnum):
    """What kind of tenant an organisation is."""

    STANDARD = "standard"
    """Microsoft's default columns, Marketo's columns and a few custom tables."""
    CUSTOMISED = "customised"
    """A tenant that somebody has worked on for years: other lengths, options, required levels and tables."""


@cache
def profile_schema(profile: Profile) -> Schema:
    """The schema of a new organisation of this profile."""
    schema = default_schema()
    if profile is Profile.STANDARD:
        return schema
    text = files("dynamics_emulator").joinpath("customised.json").read_text(encoding="utf-8")
    return apply_changes(schema, json.loads(text)["changes"])
