"""The catalogue: one YAML file an entity, checked once, when it is loaded.

A file says which Dynamics table it reads, which table of the marketing database it fills, and how each field is called
and typed there. `load_catalogue` returns what is right and what is wrong, so that a bad file takes down its own DAG
only.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from dynamics_sync.entity import Entity, FieldSpec, KeySpec
from dynamics_sync.errors import CatalogueError
from dynamics_sync.positioned_yaml import PositionedDocument, YamlProblem, read_yaml

#: Where the files are looked for when the environment variable DYNAMICS_SYNC_CATALOGUE is not set.
DEFAULT_FOLDER = Path(__file__).resolve().parents[1] / "entities"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a folder holds: the entities that are right, and one error for each file that is not."""

    entities: tuple[Entity, ...]
    errors: Mapping[Path, CatalogueError]

    def entity(self, name: str) -> Entity:
        """Return the entity of that logical name; CatalogueError with the nearest name if there is none."""
        for entity in self.entities:
            if entity.entity == name:
                return entity
        message = f"the catalogue has no entity {name}{_nearest(name, [e.entity for e in self.entities])}"
        raise CatalogueError(message)


def catalogue_folder() -> Path:
    """Return the folder of the catalogue: DYNAMICS_SYNC_CATALOGUE if set, else `include/entities`."""
    return Path(os.environ.get("DYNAMICS_SYNC_CATALOGUE") or DEFAULT_FOLDER)


def load_catalogue(folder: Path | None = None) -> Catalogue:
    """Read every `*.yaml` of the folder; nothing else is touched, so that DAGs can be parsed without a network."""
    place = folder or catalogue_folder()
    entities: dict[Path, Entity] = {}
    errors: dict[Path, CatalogueError] = {}
    if not place.is_dir():
        message = f"the folder {place} of the catalogue does not exist"
        errors[place] = CatalogueError(message, next_step="Create it, or correct DYNAMICS_SYNC_CATALOGUE")
    for path in sorted(place.glob("*.yaml")):
        try:
            entity = load_entity(path)
            _check_unique(entity, path, entities)
        except CatalogueError as error:
            errors[path] = error
        else:
            entities[path] = entity
    return Catalogue(tuple(entities.values()), errors)


def load_entity(path: Path) -> Entity:
    """Read one file; CatalogueError with file, line and the nearest valid word if it is wrong."""
    try:
        document = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path.name}: the file cannot be read as UTF-8 text"
        raise CatalogueError(message) from error
    except YamlProblem as problem:
        message = f"{path.name}:{problem.line}: {problem.text}"
        raise CatalogueError(message) from problem
    try:
        return Entity.model_validate(document.value)
    except ValidationError as error:
        raise CatalogueError(_explain(path, document, error)) from None


def _check_unique(entity: Entity, path: Path, others: Mapping[Path, Entity]) -> None:
    for other_path, other in others.items():
        for word in ("entity", "table"):
            if getattr(entity, word) == getattr(other, word):
                message = f"{path.name}: `{word}: {getattr(entity, word)}` stands in {other_path.name} already"
                raise CatalogueError(message)


def _explain(path: Path, document: PositionedDocument, error: ValidationError) -> str:
    """Turn the first of pydantic's errors into one line: file, line, what is wrong, the nearest valid word."""
    problems = error.errors(include_url=False, include_input=True)
    # A misspelt word shows twice: as unknown, and as the missing one. The first is the one that helps.
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    location = tuple(part for part in first["loc"] if part != "[key]")
    where = ".".join(str(part) for part in location)
    line = document.line_of(location)
    if first["type"] == "extra_forbidden":
        word = str(location[-1])
        text = f"unknown word `{word}`{_nearest(word, _words_at(location))}"
    elif first["type"] == "enum":
        allowed = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        text = f"`{where}` cannot be {first['input']!r}{_nearest(str(first['input']), allowed)}"
    elif first["type"] == "missing":
        text = f"`{where}` is missing"
    elif first["type"] == "model_type" and not where:
        text = "the file is empty" if document.value is None else "the file is no mapping of words to values"
    else:
        text = f"{f'`{where}`: ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
    return f"{path.name}:{line}: {text}"


def _words_at(location: tuple[Any, ...]) -> list[str]:
    """The words that are valid where an unknown one stands."""
    models: dict[str, type[BaseModel]] = {"key": KeySpec, "fields": FieldSpec}
    model = models.get(str(location[0]), Entity) if len(location) > 1 else Entity
    return list(model.model_fields)


def _nearest(word: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(word, allowed, n=1, cutoff=0.5)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; valid are {', '.join(allowed)}"
