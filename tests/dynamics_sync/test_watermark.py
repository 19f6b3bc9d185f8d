"""Watermarks: they never go back, and one that cannot be read stops the run."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_sync.errors import StopRun, WatermarkError
from dynamics_sync.watermark import Watermark, WatermarkStore, format_instant, variable_name

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ZONES = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
INSTANTS = st.datetimes(datetime(1900, 1, 2), datetime(9000, 1, 1), timezones=ZONES)  # noqa: DTZ001 - bounds without a zone
WATERMARKS = st.builds(
    Watermark,
    begun_at=INSTANTS,
    delta_link=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    modified_up_to=st.none() | INSTANTS,
    keys_checked_at=st.none() | INSTANTS,
    keys=st.none() | st.integers(0, 10**12),
)


class Variables(dict[str, str]):
    """Stands in for Airflow's Variables."""

    def set(self, key: str, value: str) -> None:
        self[key] = value


def store() -> WatermarkStore:
    return WatermarkStore("lead", Variables())


def test_before_the_first_copy_there_is_none() -> None:
    assert store().read() is None


@settings(deadline=None, derandomize=True)
@given(watermark=WATERMARKS)
def test_what_was_written_is_read(watermark: Watermark) -> None:
    held = store()
    assert held.advance(watermark, log=pytest.fail)
    assert held.read() == watermark


@settings(deadline=None, derandomize=True)
@given(watermarks=st.lists(WATERMARKS, min_size=1, max_size=6))
def test_whatever_the_order_of_the_runs_the_one_that_began_last_stands(watermarks: list[Watermark]) -> None:
    held, logged, newest = store(), [], watermarks[0].begun_at
    for watermark in watermarks:
        written = held.advance(watermark, log=logged.append)
        assert written == (watermark.begun_at >= newest)
        newest = max(newest, watermark.begun_at)
        read = held.read()
        assert read is not None
        assert read.begun_at == newest
    assert len(logged) == sum(
        later.begun_at < max(w.begun_at for w in watermarks[:number])
        for number, later in enumerate(watermarks)
        if number
    )


def test_a_run_may_write_its_watermark_twice() -> None:
    held = store()
    assert held.advance(Watermark(begun_at=NOON, keys=1), log=pytest.fail)
    assert held.advance(Watermark(begun_at=NOON, keys=2), log=pytest.fail)
    assert held.read() == Watermark(begun_at=NOON, keys=2)


def test_the_log_says_why_a_watermark_stays() -> None:
    held, logged = store(), []
    held.advance(Watermark(begun_at=NOON), log=pytest.fail)
    assert not held.advance(Watermark(begun_at=NOON - timedelta(seconds=1)), log=logged.append)
    assert logged == ["The watermark stays: a run that began later, at 2026-03-01T12:00:00Z, wrote it."]


def test_entities_do_not_share_a_watermark() -> None:
    variables = Variables()
    WatermarkStore("lead", variables).advance(Watermark(begun_at=NOON), log=pytest.fail)
    assert WatermarkStore("contact", variables).read() is None
    assert list(variables) == [variable_name("lead")] == ["dynamics_watermark_lead"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "{}",
        "[]",
        "null",
        '{"begun_at": "2026-03-01T12:00:00"}',
        '{"begun_at": "2026-03-01T12:00:00Z", "delta": "x"}',
        '{"begun_at": "2026-03-01T12:00:00Z", "keys": "many"}',
        '{"begun_at": "2026-03-01T12:00:00Z"',
    ],
)
def test_a_variable_that_is_no_watermark_stops_the_run_and_stays(text: str) -> None:
    variables = Variables({variable_name("lead"): text})
    held = WatermarkStore("lead", variables)
    with pytest.raises(
        WatermarkError, match=r"DS-105 the Variable dynamics_watermark_lead .*Nothing was read"
    ) as caught:
        held.read()
    assert isinstance(caught.value, StopRun)
    with pytest.raises(WatermarkError):
        held.advance(Watermark(begun_at=NOON), log=pytest.fail)
    assert variables == {variable_name("lead"): text}


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
def test_instants_are_written_in_utc(zone: timezone) -> None:
    assert format_instant(NOON.astimezone(zone)) == "2026-03-01T12:00:00Z"
