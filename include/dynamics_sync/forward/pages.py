"""Pages in staging, and where the reading of them goes on after a task was killed.

A page is its Arrow file, and then a small JSON document: a page without a whole one was not staged. So what is there
and how far it was read cannot contradict each other.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from dynamics_sync.staging import StagingFolder


def staged_pages(folder: StagingFolder, name_of: Callable[[int], str]) -> Iterator[Mapping[str, Any]]:
    """Yield the documents of the pages that were staged, from page 1 on; `name_of` gives a page's name."""
    for number in count(1):
        document = folder.read_json_if_whole(f"{name_of(number)}.json")
        if document is None:
            return
        yield document
