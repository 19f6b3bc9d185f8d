"""The pause, the places and the budget, as laws: no clock but the argument, no database."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics_sync.pace import LONGEST_PAUSE, PAUSE_UNTOLD, PLACES_UNTOLD, WRITE_BACK, Budget, Limit

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


# --- the pause ---------------------------------------------------------------------------------------


def test_a_429_is_waited_for_in_full() -> None:
    limit = Limit().throttled(NOON, 30, busy=8)
    assert [limit.pause_left(at(seconds)) for seconds in (0, 12.5, 30, 31)] == [30, 17.5, 0, 0]


def test_a_429_that_does_not_say_how_long_pauses_a_little() -> None:
    assert Limit().throttled(NOON, None, busy=8).pause_left(NOON) == PAUSE_UNTOLD


def test_the_longest_of_several_waits_counts() -> None:
    limit = Limit().throttled(NOON, 30, busy=8).throttled(at(1), 5, busy=8)
    assert limit.paused_until == at(30)
    assert limit.throttled(at(2), 60, busy=8).paused_until == at(62)


def test_nobody_pauses_for_longer_than_an_hour() -> None:
    limit = Limit().throttled(NOON, 99_999_999, busy=8)
    assert limit.pause_left(NOON) == LONGEST_PAUSE == 3600


# --- the places --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "busy", "left"), [(8, 8, 4), (5, 5, 2), (52, 8, 4), (4, 52, 2), (8, 1, 1), (1, 0, 1)]
)
def test_half_of_those_who_talk_may_go_on(allowed: int, busy: int, left: int) -> None:
    limit = Limit(allowed=allowed, hint=52).throttled(NOON, 30, busy)
    assert (limit.allowed, limit.lowered_at) == (left, NOON)


def test_what_was_under_way_when_the_pause_began_lowers_nothing_more() -> None:
    limit = Limit().throttled(NOON, 30, busy=8)
    assert limit.throttled(at(1), 30, busy=8).allowed == 4
    assert limit.throttled(at(31), 30, busy=4).allowed == 2


def test_a_place_comes_back_with_each_quiet_minute_after_the_pause() -> None:
    limit = Limit(hint=8).throttled(NOON, 30, busy=8)
    assert [limit.recovered(at(30 + seconds)).allowed for seconds in (0, 59, 60, 119, 120, 9000)] == [4, 4, 5, 5, 6, 8]
    once = limit.recovered(at(90))
    assert (once.allowed, once.raised_at) == (5, at(90))
    assert [once.recovered(at(seconds)).allowed for seconds in (149, 150)] == [5, 6]


def test_the_hint_is_followed_at_once_unless_somebody_was_throttled() -> None:
    assert Limit().most == PLACES_UNTOLD
    assert [Limit().hinted(hint).allowed for hint in (1, 4, 52)] == [1, 4, 52]
    assert Limit().hinted(4).hinted(20).allowed == 20
    lowered = Limit().hinted(20).throttled(NOON, 30, busy=8)
    assert (lowered.allowed, lowered.hinted(52).allowed, lowered.hinted(3).allowed) == (4, 4, 3)
    assert lowered.hinted(5).recovered(at(9000)).allowed == 5


@given(st.lists(st.integers(1, 60), max_size=20), st.integers(0, 89))
def test_no_hint_gives_back_what_a_429_took(hints: list[int], seconds: int) -> None:
    limit = Limit(hint=8).throttled(NOON, 30, busy=8)
    for hint in hints:
        limit = limit.hinted(hint).recovered(at(seconds))
    assert limit.allowed <= 4


@given(
    st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["429", "hint", "quiet"]), st.integers(1, 60)), max_size=40)
)
def test_somebody_may_always_go_on_and_never_more_than_dynamics_likes(steps: list[tuple[int, str, int]]) -> None:
    limit, now = Limit(), NOON
    for seconds, event, number in steps:
        now += timedelta(seconds=seconds)
        before = limit
        match event:
            case "429":
                limit = limit.throttled(now, number, busy=number)
                assert limit.allowed <= before.allowed
            case "hint":
                limit = limit.hinted(number)
            case _:
                limit = limit.recovered(now)
        assert 1 <= limit.allowed <= limit.most


# --- the budget --------------------------------------------------------------------------------------


def test_without_a_budget_nothing_is_limited() -> None:
    assert Budget().allowance("dynamics_lead", {"dynamics_lead": 10**9}) is None


def test_a_dag_has_a_budget_of_its_own() -> None:
    budget = Budget(per_day_of={"dynamics_lead": 100})
    used = {"dynamics_lead": 60, "dynamics_contact": 500}
    allowance = budget.allowance("dynamics_lead", used)
    assert allowance is not None
    assert (allowance.left, allowance.name) == (40, "100 requests a day of dynamics_lead (60 used)")
    assert budget.allowance("dynamics_contact", used) is None


@pytest.mark.parametrize(
    ("used", "to_copy", "to_write"),
    [
        ({}, 80, 100),
        ({"dynamics_lead": 50, "dynamics_contact": 20}, 10, 30),
        ({"dynamics_lead": 80}, 0, 20),
        # What was written came out of its own share first, and the rest is there for all.
        ({WRITE_BACK: 20}, 80, 80),
        ({WRITE_BACK: 50}, 50, 50),
        ({WRITE_BACK: 20, "dynamics_lead": 80}, 0, 0),
        ({"dynamics_lead": 120}, 0, 0),
    ],
)
def test_writing_back_goes_first(used: dict[str, int], to_copy: int, to_write: int) -> None:
    budget = Budget(per_day=100, write_back_share=0.2)
    found = [budget.allowance(dag_id, used) for dag_id in ("dynamics_account", WRITE_BACK)]
    assert [allowance and allowance.left for allowance in found] == [to_copy, to_write]


def test_the_budget_that_is_spent_first_is_named() -> None:
    budget = Budget(per_day=1_000, write_back_share=0.25, per_day_of={"dynamics_lead": 900})
    names = [
        (budget.allowance(dag_id, used) or pytest.fail("no limit")).name
        for dag_id, used in [
            ("dynamics_lead", {"dynamics_lead": 100}),
            ("dynamics_lead", {"dynamics_lead": 100, WRITE_BACK: 900}),
            (WRITE_BACK, {"dynamics_lead": 100}),
        ]
    ]
    assert names == [
        "750 requests a day of all DAGs but dynamics_reverse (100 used)",
        "1,000 requests a day of all DAGs (1,000 used)",
        "1,000 requests a day of all DAGs (100 used)",
    ]
