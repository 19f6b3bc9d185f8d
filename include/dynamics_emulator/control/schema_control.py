"""The verbs of the control that change tables, columns, options and keys, as an administrator's customising does."""

from collections.abc import Iterable, Mapping
from typing import Any

from dynamics_emulator.organisation import Organisation
from dynamics_emulator.reshaping import change_schema, publish_changes
from dynamics_emulator.schema.model import KeyStatus


class SchemaControl:
    """The schema of one organisation. A change takes effect at once, or, if it is unpublished, with :meth:`publish`.

    Every verb raises KeyError for an unknown table, column or key, and ValueError for what makes no sense.
    """

    _organisation: Organisation

    def add_column(self, table: str, column: str, type: str, *, published: bool = True, **facts: Any) -> None:
        """Add a column, empty in every row.

        ``type`` is an AttributeType such as ``String``; ``facts`` are those of ``tables.json``: ``length``, ``min``,
        ``max``, ``precision``, ``options`` (label by value), ``targets``, ``navigation``, ``required``, ``display``.
        """
        declared = {"type": type, **facts}
        self._change({"kind": "add", "table": table, "column": column, "declared": declared}, published=published)

    def retype_column(self, table: str, column: str, type: str, *, published: bool = True, **facts: Any) -> None:
        """Delete a column and make one of the same name and another type; its values are gone."""
        declared = {"type": type, **facts}
        self._change({"kind": "retype", "table": table, "column": column, "declared": declared}, published=published)

    def drop_column(self, table: str, column: str, *, published: bool = True) -> None:
        """Take a column, and the keys that it is part of, out of the schema. Its stored values stay behind, unseen."""
        self._change({"kind": "drop", "table": table, "column": column}, published=published)

    def rename_column(self, table: str, column: str, to: str) -> None:
        """Give a column another name; its values go with it. Lookups cannot be renamed."""
        if self._organisation.schema.table(table).columns[column].is_lookup:
            message = f"{table}.{column} is a lookup"
            raise ValueError(message)
        self._change({"kind": "rename", "table": table, "column": column, "to": to})

    def shorten_column(self, table: str, column: str, length: int) -> None:
        """Set the maximum length of a text column; longer stored values stay as they are."""
        self._change({"kind": "shorten", "table": table, "column": column, "length": length})

    lengthen_column = shorten_column

    def require_column(self, table: str, column: str, level: str = "ApplicationRequired") -> None:
        """Set the required level: ``None``, ``Recommended``, ``ApplicationRequired`` or ``SystemRequired``."""
        self._change({"kind": "set", "table": table, "column": column, "required": level})

    def rename_display(self, table: str, column: str, display: str) -> None:
        """Give a column another display name; its logical name stays."""
        self._change({"kind": "set", "table": table, "column": column, "display": display})

    def add_option(self, table: str, column: str, value: int, label: str, *, state: int | None = None) -> None:
        """Add an option; a status reason belongs to a ``state``."""
        change = {"kind": "add_option", "table": table, "column": column, "value": value, "label": label}
        self._change({**change, "state": state})

    def remove_option(self, table: str, column: str, value: int) -> None:
        """Take an option out of a list; rows that hold it stay as they are."""
        self._change({"kind": "remove_option", "table": table, "column": column, "value": value})

    def relabel_option(self, table: str, column: str, value: int, label: str, *, language: int | None = None) -> None:
        """Give an option another label, in English or in a language of its own (such as 1031 for German)."""
        change = {"kind": "relabel_option", "table": table, "column": column, "value": value, "label": label}
        self._change({**change, "language": language})

    def replace_options(self, table: str, column: str, labels: Mapping[int, str]) -> None:
        """Give a column a wholly new list of options; rows keep the values that they hold."""
        options = [{"value": value, "label": label} for value, label in labels.items()]
        self._change({"kind": "replace_options", "table": table, "column": column, "options": options})

    def add_table(self, table: str, **declared: Any) -> None:
        """Add an empty table; ``declared`` is an entry as in ``tables.json``."""
        self._change({"kind": "add_table", "table": table, "declared": declared})

    def drop_table(self, table: str) -> None:
        """Take a table out of the schema. Its rows stay behind, unseen."""
        self._change({"kind": "drop_table", "table": table})

    def set_tracking(self, table: str, *, enabled: bool) -> None:
        """Switch change tracking of a table on or off."""
        self._change({"kind": "set_table", "table": table, "tracked": enabled})

    def add_key(
        self, table: str, name: str, columns: Iterable[str], status: KeyStatus | str = KeyStatus.ACTIVE
    ) -> None:
        """Add an alternate key over columns, its index in this state."""
        declared = {"name": name, "columns": list(columns), "status": str(status)}
        self._change({"kind": "add_key", "table": table, "declared": declared})

    def remove_key(self, table: str, key: str) -> None:
        """Remove an alternate key."""
        self._change({"kind": "remove_key", "table": table, "key": key})

    def set_key_status(self, table: str, key: str, status: KeyStatus | str) -> None:
        """Set the state of a key's index: ``Pending``, ``InProgress``, ``Active`` or ``Failed``."""
        self._change({"kind": "key_status", "table": table, "key": key, "status": str(status)})

    def publish(self) -> int:
        """Publish the changes that wait for it; returns how many there were."""
        return publish_changes(self._organisation)

    def _change(self, change: Mapping[str, Any], *, published: bool = True) -> None:
        change_schema(self._organisation, change, published=published)
