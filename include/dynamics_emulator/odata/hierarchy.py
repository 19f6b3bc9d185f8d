"""Rows above and below a row in a hierarchy, and the caller's teams and reports, as SQL selections of ids."""

from dynamics_emulator.errors import bad_query
from dynamics_emulator.odata.scope import Operand, Scope
from dynamics_emulator.storage.layout import quote

_PARENTS = {
    "account": "parentaccountid",
    "systemuser": "parentsystemuserid",
    "businessunit": "parentbusinessunitid",
}
"""The hierarchical relationships, by table: Dataverse allows one for each."""
_RECURSION_LIMIT = 100


def hierarchy_condition(name: str, operand: Operand, root: str, scope: Scope) -> str:
    """Condition for ``Above``, ``AboveOrEqual``, ``Under``, ``UnderOrEqual`` and ``NotUnder``.

    ``root`` is the id of the referenced row. Raises a 400 when the column belongs to no hierarchy.
    """
    table = _hierarchical_table(operand)
    place = scope.parameters.add(root)
    upwards = name.startswith("Above")
    ids = _lineage(table, place, _RECURSION_LIMIT, upwards=upwards)
    inside = f"{operand.sql} IN ({ids})"
    if name.endswith("OrEqual"):
        return inside
    below = f"({inside} AND {operand.sql} <> {place})"
    if name != "NotUnder":
        return below
    missing = f" OR {operand.sql} IS NULL" if scope.settings.not_equal_matches_null else ""
    return f"(NOT {below}{missing})"


def _hierarchical_table(operand: Operand) -> str:
    candidates = operand.column.targets if operand.column.is_lookup else (operand.table,)
    for table in candidates:
        if table in _PARENTS and (operand.column.is_lookup or operand.column.name == f"{table}id"):
            return table
    message = f"The column '{operand.column.name}' of '{operand.table}' is not part of a hierarchical relationship."
    raise bad_query(message)


def _lineage(table: str, root: str, limit: int, *, upwards: bool) -> str:
    """Ids of a row and of all rows above or below it, at most ``limit`` levels away."""
    key, parent = quote(f"{table}id"), quote(_PARENTS[table])
    step = f"r.{parent}" if upwards else f"r.{key}"
    link = f"r.{key} = line.id AND r.{parent} IS NOT NULL" if upwards else f"r.{parent} = line.id"
    return (
        f"WITH RECURSIVE line(id, depth) AS (SELECT {root}, 0 UNION "
        f"SELECT {step}, line.depth + 1 FROM line JOIN {quote(table)} r ON {link} WHERE line.depth < {limit}) "
        "SELECT id FROM line"
    )


def owner_condition(name: str, operand: Operand, scope: Scope) -> str:
    """Condition for the functions that compare an owner with the caller, its teams and its reports."""
    user = scope.parameters.add(scope.user_id)
    people = f"SELECT {user}"
    if "Hierarchy" in name:
        people = _lineage("systemuser", user, scope.settings.hierarchy_depth, upwards=False)
    teams = f'SELECT "teamid" FROM "teammembership" WHERE "systemuserid" IN ({people})'
    match name:
        case "EqualUserTeams":
            return f"{operand.sql} IN ({teams})"
        case "EqualUserOrUserTeams" | "EqualUserOrUserHierarchyAndTeams":
            return f"({operand.sql} IN ({people}) OR {operand.sql} IN ({teams}))"
        case _:
            return f"{operand.sql} IN ({people})"
