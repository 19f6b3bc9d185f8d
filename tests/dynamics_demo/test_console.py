"""What the terminal shows: one line in place, or readable lines where there is no terminal."""

import io

from dynamics_demo.console import Progress, table, total


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _progress(stream: io.StringIO, seconds: list[float]) -> Progress:
    return Progress("Runs", stream, clock=lambda: seconds.pop(0) if len(seconds) > 1 else seconds[0])


def test_without_a_terminal_a_state_is_shown_once_until_it_changes() -> None:
    stream = io.StringIO()
    progress = _progress(stream, [0.0])
    for state in ("1 of 2", "1 of 2", "2 of 2"):
        progress.show(state)
    assert [line.split(": ")[1] for line in stream.getvalue().splitlines()] == ["1 of 2", "2 of 2"]


def test_without_a_terminal_a_long_wait_is_seen() -> None:
    stream = io.StringIO()
    now = [0.0]
    progress = Progress("Runs", stream, clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        progress.show("1 of 2")
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["0", "10", "20"]


def test_on_a_terminal_there_is_one_line() -> None:
    stream = _Terminal()
    progress = _progress(stream, [0.0])
    progress.show("1 of 2")
    progress.done("2 of 2")
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("Runs: 2 of 2\n")


def test_a_table_is_aligned() -> None:
    lines = table(("entity", "rows"), [("Leads", 1234), ("Opportunities", 7)]).splitlines()
    assert lines == [
        "  entity          rows",
        "  --------------------",
        "  Leads          1,234",
        "  Opportunities      7",
    ]


def test_texts_are_to_the_left_whatever_they_are_written_in() -> None:
    lines = table(
        ("entity", "before", "after"), [("lead", "融资经理", "x"), ("lead", "a\u0301", "y")], texts=True
    ).splitlines()
    assert lines == [
        "  entity  before    after",
        "  -----------------------",
        "  lead    融资经理  x",
        "  lead    a\u0301         y",
    ]


def test_whole_numbers_are_added_up_and_seconds_are_not() -> None:
    assert total([("Leads", 2, 1.5), ("Contacts", 3, 2.5)]) == ("total", 5, "")
