"""Fills an empty organisation with made-up rows; the same rows for the same seed."""

from pathlib import Path
from random import Random

from dynamics_emulator.clock import Clock
from dynamics_emulator.organisation import Organisation, open_organisation
from dynamics_emulator.sample.draft import Draft
from dynamics_emulator.sample.oddities import add_oddities
from dynamics_emulator.sample.people import add_accounts, add_contacts, add_leads
from dynamics_emulator.sample.pools import make_pools
from dynamics_emulator.sample.sales import add_attendances, add_connections, add_opportunities
from dynamics_emulator.sample.structure import add_structure
from dynamics_emulator.schema.model import ColumnType, Table
from dynamics_emulator.settings import Settings
from dynamics_emulator.storage.bulk import insert_rows

DEFAULT_ROWS = 12_000
_SEEDED = "seeded"


def seed_organisation(folder: Path, rows: int = DEFAULT_ROWS, seed: int = 7) -> None:
    """Open or make the organisation in a folder and fill it with about ``rows`` rows, unless it was filled before."""
    organisation = open_organisation(folder, seed=seed, settings=Settings(), clock=Clock())
    try:
        fill(organisation, rows, seed)
    finally:
        organisation.close()


def fill(organisation: Organisation, rows: int, seed: int) -> None:
    """Insert made-up rows once; a second call does nothing."""
    database = organisation.database
    if database.read_state(_SEEDED):
        return
    draft = make_draft(rows, seed)
    with database.transaction():
        for name, made in draft.rows.items():
            table = organisation.schema.table(name)
            booleans = _default_booleans(table)
            insert_rows(database, table, [{**booleans, **row} for row in made])
        database.write_state(_SEEDED, f"{rows} rows, seed {seed}")


def make_draft(rows: int, seed: int) -> Draft:
    """All rows of a sample organisation, in memory."""
    draft = Draft(Random(seed), make_pools(seed))
    share = max(rows, 10)
    add_structure(draft)
    add_accounts(draft, share * 14 // 100 + 1)
    add_contacts(draft, share * 34 // 100 + 1)
    add_leads(draft, share * 30 // 100 + 1)
    add_opportunities(draft, share * 8 // 100 + 1)
    add_connections(draft, share * 4 // 100 + 1)
    add_attendances(draft, share * 6 // 100 + 1)
    add_oddities(draft)
    return draft


def _default_booleans(table: Table) -> dict[str, int]:
    return {column.name: 0 for column in table.columns.values() if column.type is ColumnType.BOOLEAN}
