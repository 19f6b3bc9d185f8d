"""The feed stays in staging page by page; a begin that was killed goes on behind the pages that are whole."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dynamics_sync.dataverse.feed import FeedPage
from dynamics_sync.errors import UnexpectedAnswer
from dynamics_sync.forward.staged_feed import StagedFeed, read_feed, staged_deletions
from dynamics_sync.staging import StagingFolder

PAGES = 4


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Reader:
    """A feed of a few pages, two keys and a deletion on each; it ends at the page `dies_after`."""

    path: str = "leads?first"
    dies_after: int = PAGES
    without_key: int = 0
    asked: list[int] = field(default_factory=list)

    def pages(self, *, resume_link: str | None = None) -> Iterator[FeedPage]:
        for page in range(int(resume_link or 1), PAGES + 1):
            if page > self.dies_after:
                raise Killed
            self.asked.append(page)
            is_last = page == PAGES
            yield FeedPage(
                ids=[f"{self.path} {page}.{number}" for number in (1, 2)],
                versions=[page, None],
                deleted=[f"gone {page}"],
                without_key=self.without_key,
                next_link=None if is_last else str(page + 1),
                delta_link="delta" if is_last else None,
            )


def read(reader: Reader, folder: StagingFolder) -> StagedFeed:
    given: Any = reader
    return read_feed(given, "lead", folder)


def ids(feed: StagedFeed) -> list[str]:
    return [key for page in feed.keys() for key in page["id"].to_pylist()]  # noqa: SIM118 - it is no dict


@pytest.fixture
def folder(tmp_path: Path) -> StagingFolder:
    return StagingFolder(tmp_path)


@pytest.mark.parametrize("dies_after", range(PAGES))
def test_what_is_staged_is_not_read_again(folder: StagingFolder, dies_after: int) -> None:
    with pytest.raises(Killed):
        read(Reader(dies_after=dies_after), folder)
    again = Reader()
    feed = read(again, folder)
    assert again.asked == list(range(dies_after + 1, PAGES + 1))
    assert ids(feed) == [f"leads?first {page}.{number}" for page in range(1, PAGES + 1) for number in (1, 2)]
    assert (feed.changed, feed.gone, feed.delta_link) == (2 * PAGES, PAGES, "delta")
    gone = staged_deletions(feed.folder, feed.pages)["id"].to_pylist()
    assert gone == [f"gone {page}" for page in range(1, PAGES + 1)]
    following = Reader()
    assert (read(following, folder), following.asked) == (feed, [])


@pytest.mark.parametrize("page", range(1, PAGES + 1))
def test_a_page_whose_document_was_cut_is_read_again(folder: StagingFolder, tmp_path: Path, page: int) -> None:
    read(Reader(), folder)
    document = tmp_path / f"feed/page-{page:05d}.json"
    document.write_bytes(document.read_bytes()[:15])
    again = Reader()
    assert read(again, folder).changed == 2 * PAGES
    assert again.asked == list(range(page, PAGES + 1))


@pytest.mark.parametrize("dies_after", range(PAGES + 1))
def test_pages_of_another_read_do_not_count(folder: StagingFolder, dies_after: int) -> None:
    read(Reader(), folder)
    if dies_after < PAGES:
        with pytest.raises(Killed):
            read(Reader("leads?second", dies_after), folder)
    again = Reader("leads?second")
    feed = read(again, folder)
    assert {key.partition(" ")[0] for key in ids(feed)} == {"leads?second"}
    assert again.asked == list(range(dies_after % PAGES + 1 if dies_after < PAGES else 1, PAGES + 1))


def test_pages_that_were_written_over_by_another_read_do_not_count(folder: StagingFolder, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        read(Reader("leads?first", dies_after=2), folder)

    class DiesOverItsDocument(StagingFolder):
        def write_json(self, name: str, value: Any) -> None:  # noqa: ARG002 - as in the class above it
            raise Killed

    with pytest.raises(Killed):
        read(Reader("leads?second"), DiesOverItsDocument(tmp_path))
    again = Reader("leads?first")
    assert {key.partition(" ")[0] for key in ids(read(again, folder))} == {"leads?first"}
    assert again.asked == [1, 2, 3, 4]


def test_rows_without_a_key_are_refused(folder: StagingFolder) -> None:
    with pytest.raises(UnexpectedAnswer, match="1 rows without a key"):
        read(Reader(without_key=1), folder)
