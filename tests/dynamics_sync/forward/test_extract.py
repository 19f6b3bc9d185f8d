"""extract: a read that was killed at any moment goes on where it stopped, and stages the same rows."""

import io
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pytest
import requests
from requests.structures import CaseInsensitiveDict

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.errors import IncompleteAnswer, StaleAnswer, UnexpectedAnswer
from dynamics_sync.forward.extract import extract_slice
from dynamics_sync.forward.manifest import IDS_FILE, Manifest
from dynamics_sync.forward.pages import page_names, rejected_rows
from dynamics_sync.forward.request import Mode
from dynamics_sync.forward.slices import Slice, SliceKind
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.translation.fields import ReadPlan

ROWS = 23
PAGE_SIZE = 5
PAGES = 5
API = "https://acme.crm4.dynamics.com/api/data/v9.2"
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Killed(BaseException):
    """As a worker that is killed: nothing catches it."""


class Tokens:
    """Gives a token that nobody checks."""

    def token(self) -> str:
        return "token"

    def renew(self) -> str:
        return "token"


def row(number: int) -> dict[str, Any]:
    # Each seventh row has a value that cannot be read.
    count = "many" if number % 7 == 0 else number
    return {"sampleid": guid(number), "versionnumber": number, "name": f"row {number}", "count": count}


def guid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


@dataclass
class Dynamics(requests.adapters.HTTPAdapter):
    """Serves the sample table below `requests`, in pages and by ids; `before` is called ahead of each answer."""

    before: Callable[[], None] = lambda: None
    held: list[dict[str, Any]] = field(default_factory=lambda: [row(number) for number in range(1, ROWS + 1)])
    asked: list[requests.PreparedRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __hash__(self) -> int:
        return id(self)

    def send(self, request: requests.PreparedRequest, **_options: Any) -> requests.Response:
        self.asked.append(request)
        self.before()
        body, content_type = self._batch(request) if request.method == "POST" else (self._page(request), None)
        response = requests.Response()
        response.status_code = 200
        response.request = request
        response.headers = CaseInsensitiveDict({"Content-Type": content_type or "application/json"})
        response.raw = io.BytesIO(body)
        return response

    def _page(self, request: requests.PreparedRequest) -> bytes:
        start = int(parse_qs(urlsplit(request.url or "").query).get("$skiptoken", ["0"])[0])
        page: dict[str, Any] = {"value": self.held[start : start + PAGE_SIZE]}
        if start + PAGE_SIZE < len(self.held):
            page["@odata.nextLink"] = f"{API}/samples?$skiptoken={start + PAGE_SIZE}"
        return json.dumps(page).encode()

    def _batch(self, request: requests.PreparedRequest) -> tuple[bytes, str]:
        assert isinstance(request.body, bytes)
        parts = []
        for line in request.body.decode().splitlines():
            if line.startswith("GET "):
                named = unquote(line)
                ids = set(_GUID.findall(named))
                found = [one for one in self.held if one["sampleid"] in ids]
                status, answer = "200 OK", {"value": found}
                if re.search(r"/samples\([^)]+\)", named):
                    # One row by its id: it must be there or be told to be missing.
                    missing = {"error": {"code": "0x80040217", "message": "sample Does Not Exist"}}
                    status, answer = ("200 OK", found[0]) if found else ("404 Not Found", missing)
                parts.append(
                    f"--answer\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {status}\r\n"
                    f"Content-Type: application/json\r\n\r\n{json.dumps(answer)}\r\n"
                )
        return ("".join(parts) + "--answer--\r\n").encode(), "multipart/mixed; boundary=answer"

    @property
    def client(self) -> DataverseClient:
        session = requests.Session()
        session.mount("https://", self)
        return DataverseClient(
            "acme.crm4.dynamics.com",
            session,
            Tokens(),
            sleep=lambda _: None,
            random=random.Random(1),  # noqa: S311 - a seed
        )


@pytest.fixture
def make_manifest(plan: ReadPlan) -> Callable[..., Manifest]:
    """Return a function from a slice to the manifest of a run that has only that slice."""

    def make(piece: Slice, run_key: str = "key") -> Manifest:
        run = RunIdentity("sample", "run", run_key, datetime(2026, 3, 1, tzinfo=UTC))
        return Manifest(
            run,
            Mode.FULL,
            plan,
            (piece,),
            PAGE_SIZE,
            None,
            pages_of_all_keys=None,
            allow_deletions=False,
            seen_at=run.begun_at,
            catalogue="",
        )

    return make


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[StagingFolder]:
    """One new staging folder after the other."""
    return (StagingFolder(tmp_path / str(number)) for number in range(1_000))


WINDOW = Slice(1, SliceKind.WINDOW, "all", "createdon lt 2027-01-01T00:00:00Z", expected=ROWS)


def ids_slice(folder: StagingFolder, numbers: list[int], *, newer: int = 0) -> Slice:
    """Rows named by their ids; `newer` is by how much the feed was ahead of what Dynamics gives."""
    versions = pa.array([number + newer for number in numbers], pa.int64())
    piece = Slice(1, SliceKind.IDS, "ids")
    ids = [guid(number) for number in numbers]
    folder.write_table(f"{piece.folder}/{IDS_FILE}", pa.table({"id": ids, "version": versions}))
    return piece


def staged(folder: StagingFolder, piece: Slice) -> tuple[list[Any], list[Any]]:
    """All rows that a slice staged, and all that it set aside, in order."""
    names = page_names(folder, piece)
    rows = [one for name in names for one in folder.read_table(f"{name}.arrow").to_pylist()]
    return rows, [asdict(one) for name in names for one in rejected_rows(folder, name)]


def test_a_window_is_read_page_by_page(make_manifest: Any, folders: Iterator[StagingFolder]) -> None:
    folder, dynamics, logged = next(folders), Dynamics(), []
    assert extract_slice(make_manifest(WINDOW), 1, folder, dynamics.client, log=logged.append) == ROWS
    rows, rejected = staged(folder, WINDOW)
    assert [one["versionnumber"] for one in rows] == [n for n in range(1, ROWS + 1) if n % 7]
    assert [(one["version"], one["code"], one["field"]) for one in rejected] == [
        (n, "DS-602", "count") for n in (7, 14, 21)
    ]
    assert page_names(folder, WINDOW)[-1] == "slice-0001/page-00005"
    assert logged[-1] == "Page 5: 23 rows of about 23."


def test_each_page_is_asked_for_with_the_same_preferences(
    plan: ReadPlan, make_manifest: Any, folders: Iterator[StagingFolder]
) -> None:
    dynamics = Dynamics()
    extract_slice(make_manifest(WINDOW), 1, next(folders), dynamics.client, log=lambda _: None)
    assert len(dynamics.asked) == PAGES
    assert {request.headers["Prefer"] for request in dynamics.asked} == {
        f"odata.maxpagesize={PAGE_SIZE},{plan.prefer[0]}"
    }
    first = unquote(dynamics.asked[0].url or "")
    assert f"$select={','.join(plan.select)}" in first
    assert f"$filter={WINDOW.filter}" in first


def killed_after(answers: int) -> Callable[[], None]:
    """Kill the worker when it asks for one answer more than so many."""
    left = iter(range(answers))

    def count() -> None:
        if next(left, None) is None:
            raise Killed

    return count


@pytest.mark.parametrize("answers", range(PAGES))
def test_a_read_that_was_killed_goes_on_at_the_page_where_it_stopped(
    make_manifest: Any, folders: Iterator[StagingFolder], answers: int
) -> None:
    whole, folder = next(folders), next(folders)
    manifest = make_manifest(WINDOW)
    extract_slice(manifest, 1, whole, Dynamics().client, log=lambda _: None)
    with pytest.raises(Killed):
        extract_slice(manifest, 1, folder, Dynamics(killed_after(answers)).client, log=lambda _: None)
    again, logged = Dynamics(), []
    assert extract_slice(manifest, 1, folder, again.client, log=logged.append) == ROWS
    assert staged(folder, WINDOW) == staged(whole, WINDOW)
    assert len(again.asked) == PAGES - answers
    assert any(line.startswith(f"Going on after page {answers};") for line in logged) == (answers > 0)


@pytest.mark.parametrize("page", range(1, PAGES + 1))
@pytest.mark.parametrize("left", [0, 1, 20])
def test_a_page_whose_document_was_cut_is_read_again(
    make_manifest: Any, folders: Iterator[StagingFolder], page: int, left: int
) -> None:
    whole, folder = next(folders), next(folders)
    manifest = make_manifest(WINDOW)
    for each in (whole, folder):
        extract_slice(manifest, 1, each, Dynamics().client, log=lambda _: None)
    document = Path(str(folder.path), f"slice-0001/page-{page:05d}.json")
    document.write_bytes(document.read_bytes()[:left])
    again = Dynamics()
    extract_slice(manifest, 1, folder, again.client, log=lambda _: None)
    assert staged(folder, WINDOW) == staged(whole, WINDOW)
    assert len(again.asked) == PAGES - page + 1


def test_a_task_that_is_repeated_after_its_end_asks_for_nothing(
    make_manifest: Any, folders: Iterator[StagingFolder]
) -> None:
    folder, manifest = next(folders), make_manifest(WINDOW)
    extract_slice(manifest, 1, folder, Dynamics().client, log=lambda _: None)
    before, again = staged(folder, WINDOW), Dynamics()
    assert extract_slice(manifest, 1, folder, again.client, log=lambda _: None) == ROWS
    assert again.asked == []
    assert staged(folder, WINDOW) == before


def test_named_ids_are_fetched_in_one_batch(
    plan: ReadPlan, make_manifest: Any, folders: Iterator[StagingFolder]
) -> None:
    folder, dynamics = next(folders), Dynamics()
    piece = ids_slice(folder, [1, 2, 99, 7])  # 99 is gone from Dynamics, 7 cannot be read.
    assert extract_slice(make_manifest(piece), 1, folder, dynamics.client, log=lambda _: None) == 3
    rows, rejected = staged(folder, piece)
    assert [one["versionnumber"] for one in rows] == [1, 2]
    assert [one["record_key"] for one in rejected] == [guid(7)]
    request, question = dynamics.asked
    # Whether a row that did not come is really gone is asked, and not guessed.
    assert bytes(question.body or b"").count(b"GET ") == 1
    assert guid(99).encode() in bytes(question.body or b"")
    assert isinstance(request.body, bytes)
    body = unquote(request.body.decode())
    assert request.url == f"{API}/$batch"
    assert f"Prefer: {plan.prefer[0]}" in body
    assert [number for number in range(100) if guid(number) in body] == [1, 2, 7, 99]


def test_rows_older_than_the_feed_named_them_are_refused(make_manifest: Any, folders: Iterator[StagingFolder]) -> None:
    folder = next(folders)
    piece = ids_slice(folder, [1, 2, 3], newer=1)
    with pytest.raises(StaleAnswer, match="3 of 3 rows"):
        extract_slice(make_manifest(piece), 1, folder, Dynamics().client, log=lambda _: None)


def test_rows_that_dynamics_has_but_leaves_out_are_not_taken_for_gone(
    make_manifest: Any, folders: Iterator[StagingFolder]
) -> None:
    class Forgetful(Dynamics):
        def _batch(self, request: requests.PreparedRequest) -> tuple[bytes, str]:
            body, content_type = super()._batch(request)
            return (re.sub(rb'\{"value": .*\}', b'{"value": []}', body), content_type)

    folder = next(folders)
    piece = ids_slice(folder, [1, 2])
    with pytest.raises(IncompleteAnswer, match="left out 2 of 2"):
        extract_slice(make_manifest(piece), 1, folder, Forgetful().client, log=lambda _: None)
    assert not folder.exists("slice-0001/page-00001.json")


def test_many_ids_are_cut_into_urls_and_batches_and_a_killed_task_goes_on_at_its_batch(
    make_manifest: Any, folders: Iterator[StagingFolder]
) -> None:
    numbers = list(range(1, 10_301))
    whole, folder = next(folders), next(folders)
    table = [{"sampleid": guid(number), "versionnumber": number} for number in numbers]
    manifest = make_manifest(ids_slice(whole, numbers))
    ids_slice(folder, numbers)
    dynamics = Dynamics(held=table)
    extract_slice(manifest, 1, whole, dynamics.client, log=lambda _: None)
    assert len(dynamics.asked) == 3
    assert all(len(line) < 32_768 for request in dynamics.asked for line in bytes(request.body or b"").splitlines())
    dying = Dynamics(killed_after(2), held=table)
    with pytest.raises(Killed):
        extract_slice(manifest, 1, folder, dying.client, log=lambda _: None)
    again = Dynamics(held=table)
    assert extract_slice(manifest, 1, folder, again.client, log=lambda _: None) == len(table)
    assert len(again.asked) == 1
    assert staged(folder, manifest.piece(1)) == staged(whole, manifest.piece(1))


def test_an_empty_table_is_one_empty_page(make_manifest: Any, folders: Iterator[StagingFolder]) -> None:
    folder = next(folders)
    assert extract_slice(make_manifest(WINDOW), 1, folder, Dynamics(held=[]).client, log=lambda _: None) == 0
    assert staged(folder, WINDOW) == ([], [])


@pytest.mark.parametrize("held", [[1, 2], [None], [{}, None]])
def test_what_is_no_row_is_not_staged(make_manifest: Any, folders: Iterator[StagingFolder], held: list[Any]) -> None:
    folder = next(folders)
    manifest, client = make_manifest(WINDOW), Dynamics(held=held).client
    with pytest.raises(UnexpectedAnswer):
        extract_slice(manifest, 1, folder, client, log=lambda _: None)
    assert not folder.exists("slice-0001/extract.json")


def test_a_cut_page_is_told_and_the_pages_before_it_stay(make_manifest: Any, folders: Iterator[StagingFolder]) -> None:
    class Cutting(Dynamics):
        def _page(self, request: requests.PreparedRequest) -> bytes:
            body = super()._page(request)
            return body[:-9] if len(self.asked) == 3 else body

    folder = next(folders)
    with pytest.raises(IncompleteAnswer):
        extract_slice(make_manifest(WINDOW), 1, folder, Cutting().client, log=lambda _: None)
    assert [folder.exists(f"slice-0001/page-{page:05d}.json") for page in (1, 2, 3)] == [True, True, False]
    assert extract_slice(make_manifest(WINDOW), 1, folder, Dynamics().client, log=lambda _: None) == ROWS
    assert len(staged(folder, WINDOW)[0]) == 20
