"""N:N relationships: two tables, and the intersect table between them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Side:
    """One end of an N:N relationship: a table, its key's column in the intersect table, and its navigation property.

    ``navigation`` is the property that rows of ``table`` have; it leads to the other end.
    """

    table: str
    column: str
    navigation: str


@dataclass(frozen=True)
class ManyToMany:
    """An N:N relationship through an intersect table."""

    name: str
    intersect: str
    first: Side
    second: Side

    def seen_from(self, table: str, navigation: str) -> tuple[Side, Side] | None:
        """This end and the other end, for a navigation property of a table; None when it is not of this relationship.

        A relationship of a table with itself has two navigation names; they tell its ends apart.
        """
        for mine, theirs in ((self.first, self.second), (self.second, self.first)):
            if (mine.table, mine.navigation) == (table, navigation):
                return mine, theirs
        return None
