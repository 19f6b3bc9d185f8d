"""What a run may be asked to do: each mode with good and with bad parameters."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_sync.errors import RunParameterError
from dynamics_sync.forward.request import Mode, RunRequest, request_for_backfill, request_from_params

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
ONE, TWO = "aaaaaaaa-0000-0000-0000-000000000001", "aaaaaaaa-0000-0000-0000-000000000002"
WINDOW = {"mode": "window", "window_start": "2026-03-01T00:00:00Z", "window_end": "2026-04-01T00:00:00Z"}


@pytest.mark.parametrize("params", [{}, {"mode": None}, {"mode": "changes", "ids": None, "window_start": ""}])
def test_the_form_as_it_is_reads_changes(params: dict[str, Any]) -> None:
    assert request_from_params(params) == RunRequest(Mode.CHANGES)


@pytest.mark.parametrize("mode", ["changes", "full", "quarantine"])
def test_a_mode_without_parameters(mode: str) -> None:
    assert request_from_params({"mode": mode}) == RunRequest(Mode(mode))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ("2026-03-01T02:00:00+02:00", "2026-03-31T19:00:00-05:00"),
        ("2026-03-01T00:00", "2026-04-01"),
        (MARCH, APRIL),
    ],
)
def test_a_window_is_in_utc(start: object, end: object) -> None:
    request = request_from_params({"mode": "window", "window_start": start, "window_end": end})
    assert request == RunRequest(Mode.WINDOW, MARCH, APRIL)
    assert request.window_start is not None
    assert request.window_start.utcoffset() == MARCH.utcoffset()


def test_a_backfill_is_a_window() -> None:
    assert request_for_backfill(MARCH, APRIL) == request_from_params(WINDOW)


@pytest.mark.parametrize(
    "ids",
    [
        f"{ONE}\n{TWO}",
        f" {ONE.upper()} , {{{TWO}}};\n",
        f"{ONE},{TWO},{ONE}\r\n\t",
        [ONE, f" {TWO} "],
        (ONE, TWO, ""),
    ],
)
def test_ids_come_in_any_usual_form_and_once(ids: object) -> None:
    assert request_from_params({"mode": "ids", "ids": ids}) == RunRequest(Mode.IDS, ids=(ONE, TWO))


@settings(deadline=None, derandomize=True)
@given(ids=st.lists(st.uuids(), min_size=1), separator=st.sampled_from([",", "\n", "; ", " ", "\r\n", ",\n"]))
def test_ids_keep_their_order(ids: list[Any], separator: str) -> None:
    request = request_from_params({"mode": "ids", "ids": separator.join(map(str, ids))})
    assert request.ids == tuple(dict.fromkeys(map(str, ids)))


def test_deletions_are_allowed_only_when_asked_for() -> None:
    assert not request_from_params({}).allow_deletions
    assert request_from_params({"allow_deletions": True}).allow_deletions


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"mode": "everything"}, "mode 'everything' is none of changes, full, window, ids, quarantine"),
        ({"mode": "window"}, "a window needs window_start before window_end"),
        ({**WINDOW, "window_end": None}, "a window needs window_start before window_end"),
        ({**WINDOW, "window_start": None}, "a window needs window_start before window_end"),
        ({**WINDOW, "window_end": WINDOW["window_start"]}, "a window needs window_start before window_end"),
        ({**WINDOW, "window_end": "2026-01-01T00:00:00Z"}, "a window needs window_start before window_end"),
        ({**WINDOW, "window_end": "soon"}, "window_end 'soon' is no instant such as"),
        ({**WINDOW, "window_start": "2026-02-30T00:00:00Z"}, "window_start '2026-02-30T00:00:00Z' is no instant"),
        ({**WINDOW, "window_start": "0001-01-01T00:00:00+05:00"}, "is no instant such as 2026-03-01T00:00:00Z"),
        ({**WINDOW, "mode": "changes"}, "belong to mode window, not to changes"),
        ({"mode": "full", "window_end": WINDOW["window_end"]}, "belong to mode window, not to full"),
        ({"mode": "ids"}, "mode ids needs at least one id"),
        ({"mode": "ids", "ids": " ,\n"}, "mode ids needs at least one id"),
        ({"mode": "ids", "ids": []}, "mode ids needs at least one id"),
        ({"mode": "ids", "ids": f"{ONE} mickey"}, "entry 2 of ids is no GUID"),
        ({"mode": "ids", "ids": [ONE, 7]}, "entry 2 of ids is no GUID"),
        ({"mode": "ids", "ids": ONE + ONE}, "entry 1 of ids is no GUID"),
        ({"mode": "full", "ids": ONE}, "ids belong to mode ids, and to no other"),
        ({**WINDOW, "ids": ONE}, "ids belong to mode ids, and to no other"),
    ],
)
def test_a_wrong_form_is_refused_before_anything_is_read(params: dict[str, Any], expected: str) -> None:
    with pytest.raises(RunParameterError) as caught:
        request_from_params(params)
    message = str(caught.value)
    assert message.startswith("DS-104 ")
    assert expected in message
    assert "Nothing was read. Trigger the run again with other parameters." in message
    assert "mickey" not in message


@pytest.mark.parametrize("mode", Mode)
def test_only_a_run_that_leaves_nothing_out_moves_the_watermark(mode: Mode) -> None:
    assert RunRequest(mode).moves_watermark == (mode in {Mode.CHANGES, Mode.FULL})
