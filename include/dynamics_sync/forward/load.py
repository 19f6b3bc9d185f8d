"""load: bring one transformed slice into the marketing database."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from dynamics_sync.entity import Entity
from dynamics_sync.forward.manifest import Log, Manifest
from dynamics_sync.forward.pages import page_names, rows_read
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.merge import RejectedRow, load_slice
from dynamics_sync.store.runs import Counts
from dynamics_sync.store.schema import VERSION
from dynamics_sync.translation.rejected import Rejected, rejected_from_json


def load_staged(
    manifest: Manifest,
    number: int,
    folder: StagingFolder,
    entity: Entity,
    database: MarketingDatabase,
    *,
    log: Log,
) -> Counts:
    """Bring a transformed slice into the marketing database, in one transaction; repeating it changes nothing."""
    piece = manifest.piece(number)
    names = page_names(folder, piece)
    counts = load_slice(
        database,
        entity,
        manifest.run,
        number,
        _StagedPages(folder, names),
        _StagedRejected(folder, names),
        # What Dynamics gave, not what arrived here: a row that got lost on the way must show.
        read=rows_read(folder, piece),
        filtered=0,
        absent=frozenset(manifest.plan.absent),
        keys=_StagedPages(folder, names, (entity.key.column, VERSION)),
    )
    log(
        f"Read {counts.read:,} = inserted {counts.inserted:,} + updated {counts.updated:,} + unchanged "
        f"{counts.unchanged:,} + filtered {counts.filtered:,} + rejected {counts.rejected:,}."
    )
    return counts


@dataclass(frozen=True, slots=True)
class _StagedPages:
    """The pages of a slice, or some of their columns; each time that they are iterated, they are read anew."""

    folder: StagingFolder
    names: Sequence[str]
    columns: Sequence[str] | None = None

    def __iter__(self) -> Iterator[pa.Table]:
        return (self.folder.read_table(f"{name}.rows.arrow", self.columns) for name in self.names)


@dataclass(frozen=True, slots=True)
class _StagedRejected:
    """The rows of each page that could not be read or transformed; read anew each time, too."""

    folder: StagingFolder
    names: Sequence[str]

    def __iter__(self) -> Iterator[list[RejectedRow]]:
        for name in self.names:
            yield [_for_store(row) for row in rejected_from_json(self.folder.read_json(f"{name}.rows.rejected.json"))]


def _for_store(row: Rejected) -> RejectedRow:
    return RejectedRow(
        record_key=row.record_key,
        code=row.code,
        column_name=row.field,
        reason=row.reason,
        payload=row.payload,
        version=row.version,
    )
