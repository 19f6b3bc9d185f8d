"""Organisations with so many leads, made once and kept below `build/`; `make clean` removes them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dynamics_emulator.organisation import Organisation
from dynamics_emulator.sample.chance import Chance
from dynamics_emulator.sample.draft import Draft
from dynamics_emulator.sample.fitting import fit
from dynamics_emulator.sample.marketing import make_marketing
from dynamics_emulator.sample.money import Treasury
from dynamics_emulator.sample.part import ROWS_OF_A_PART
from dynamics_emulator.sample.people import Setting, make_leads
from dynamics_emulator.sample.pools import make_pools
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.sample.structure import make_structure
from dynamics_emulator.serving import open_emulation
from dynamics_emulator.settings import Settings
from dynamics_emulator.storage.bulk import insert_columns, without_indexes

SIZES = (10_000, 100_000, 1_000_000)

_KEPT = Path(__file__).resolve().parents[1] / "build" / "bench-organisations"
_SEED = 7
_USERS = 100


def chosen_sizes() -> tuple[int, ...]:
    """The sizes to measure, ascending: those of BENCH_SIZES or all, and BENCH_ROWS where more is wanted."""
    named = os.environ.get("BENCH_SIZES", "")
    sizes = {int(size.replace("_", "")) for size in named.split(",") if size} or set(SIZES)
    more = os.environ.get("BENCH_ROWS", "")
    return tuple(sorted(sizes | ({int(more.replace("_", ""))} if more else set())))


def organisation_of(leads: int) -> Path:
    """The folder of an organisation with exactly so many leads; it is made, in a process of its own, if need be."""
    folder = _KEPT / f"leads-{leads}"
    if not (folder / "made.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"  making an organisation of {leads:,} leads", flush=True)
        # What it takes in memory must not stay with whoever measures.
        subprocess.run([sys.executable, "-m", "bench.leads", str(folder), str(leads)], check=True)  # noqa: S603 - our own words
    return folder


def make_organisation(folder: Path, leads: int) -> None:
    """Fill an empty folder: the structure that leads point at, and the leads, with rows such as the sample has."""
    emulation = open_emulation(folder, seed=_SEED, settings=Settings())
    organisation = emulation.organisation
    database = organisation.database
    try:
        with without_indexes(database):
            for sheets in _sheets(organisation, leads):
                _insert(organisation, sheets)
        with database.transaction():
            # Otherwise the sample would be filled in when the folder is served.
            database.write_state("seeded", f"{leads} rows, seed {_SEED}")
    finally:
        organisation.close()
    (folder / "made.json").write_text(json.dumps({"leads": leads}), encoding="utf-8")


def _sheets(organisation: Organisation, leads: int) -> Iterator[Sequence[Sheet]]:
    parts = max(1, -(-leads // ROWS_OF_A_PART))
    draft = Draft(organisation.schema, make_pools(_SEED), Chance(f"bench {_SEED}"))
    structure = make_structure(draft, organisation.identity.organization_id, _USERS)
    treasury = Treasury(_SEED, structure.currencies)
    marketing = make_marketing(draft, structure, treasury, ROWS_OF_A_PART)
    yield (*structure.sheets, *marketing.sheets)
    size, rest = divmod(leads, parts)
    for part in range(parts):
        drawn = Draft(organisation.schema, make_pools(_SEED), Chance(f"bench {part} of {_SEED}"), part, parts)
        setting = Setting(drawn, structure, marketing, treasury, part * ROWS_OF_A_PART)
        yield [make_leads(setting, size + (part < rest))]


def _insert(organisation: Organisation, sheets: Sequence[Sheet]) -> None:
    database = organisation.database
    with database.transaction():
        for sheet in sheets:
            table = organisation.schema.table(sheet.table)
            fit(sheet, table)
            if len(sheet):
                first = database.reserve_versions(len(sheet))
                # Rows that lie side by side were not changed one after another.
                versions = Chance(f"versions from {first}").random.sample(range(first, first + len(sheet)), len(sheet))
                insert_columns(database, table, sheet.columns, versions)


if __name__ == "__main__":
    make_organisation(Path(sys.argv[1]), int(sys.argv[2]))
