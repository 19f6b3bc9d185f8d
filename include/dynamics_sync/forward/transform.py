"""transform: from staged rows to rows in our format, page by page."""

import pyarrow as pa

from dynamics_sync.entity import Entity
from dynamics_sync.forward.manifest import Manifest
from dynamics_sync.forward.pages import page_names, rejected_rows
from dynamics_sync.staging import StagingFolder
from dynamics_sync.translation.rejected import rejected_to_json
from dynamics_sync.translation.rows import transform_rows


def transform_slice(
    manifest: Manifest,
    number: int,
    folder: StagingFolder,
    entity: Entity,
    rows_schema: pa.Schema,
    *,
    exact_digits: int | None,
) -> int:
    """Transform the staged pages of a slice, one at a time; return how many rows are ready for load.

    Staged beside each page: `.rows.arrow`, and `.rows.rejected.json` also with what extract could not read.
    """
    ready = 0
    for name in page_names(folder, manifest.piece(number)):
        page = folder.read_table(f"{name}.arrow")
        unread = rejected_rows(folder, name)
        done = transform_rows(page, entity, manifest.plan, rows_schema, exact_digits=exact_digits)
        folder.write_table(f"{name}.rows.arrow", done.rows)
        folder.write_json(f"{name}.rows.rejected.json", rejected_to_json((*unread, *done.rejected)))
        ready += done.rows.num_rows
    return ready
