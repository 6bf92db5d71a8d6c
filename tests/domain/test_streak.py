"""Streaks of breaches, as tables and for generated orders of ends."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.streak import (
    FIRST,
    LEAST,
    Announce,
    Ask,
    Judged,
    Streak,
    Unclear,
    decide,
    streak_breach_id,
    streak_of,
)

AT = datetime(2026, 11, 23, tzinfo=UTC)


def line(letters: str) -> list[Judged]:
    """One run a minute: `b` breached, `w` ended well, `.` not judged; each ends after 10 s.

    `W` ended well, but only after all of the others.
    """
    rows = []
    for number, letter in enumerate(letters):
        at = AT + timedelta(minutes=number)
        took = timedelta(days=1) if letter == "W" else timedelta(seconds=10)
        if letter != ".":
            rows.append(Judged(str(number), at, letter == "b", at + took))
    return rows


@pytest.mark.parametrize(
    ("letters", "run", "members", "after"),
    [
        ("bbb", 0, "012", FIRST),
        ("bbb", 2, "012", FIRST),
        ("wbbb", 2, "123", "0"),
        ("wbbbw", 2, "123", "0"),
        ("wwbbbwbbbb", 4, "234", "1"),
        ("wwbbbwbbbb", 9, "6789", "5"),
        ("w.b.b.b.w", 4, "246", "0"),
        ("wb.bbw", 1, "134", "0"),
    ],
)
def test_the_streak_around_a_run(letters: str, run: int, members: str, after: str) -> None:
    """Runs that are not judged part nothing; it is called after the run that ended well before."""
    found = streak_of(line(letters), str(run), from_first=True, to_last=True)
    assert isinstance(found, Streak)
    assert "".join(row.run_id for row in found.runs) == members
    assert (found.after, found.earlier) == (after, ())


@pytest.mark.parametrize(
    ("letters", "run"),
    [("bb", 0), ("b", 0), ("bbwb", 0), ("wbbw", 1), ("bwbwb", 2), ("wbbb", 0), ("bb.", 2), ("", 0)],
)
def test_fewer_than_three_are_none(letters: str, run: int) -> None:
    """Nor is there one around a run that ended well, or is not judged."""
    assert streak_of(line(letters), str(run), from_first=True, to_last=True) is None


@pytest.mark.parametrize(
    ("letters", "run", "from_first", "to_last", "clear"),
    [
        ("bbb", 1, False, True, False),
        ("bbb", 1, True, False, True),
        ("wbb", 1, False, False, False),
        ("wbb", 1, False, True, True),
        ("bbw", 1, False, True, False),
        ("wbbw", 1, False, False, True),
        ("wbbb", 1, False, False, True),
        ("Wbbb", 1, False, False, False),
        ("wWbbb", 2, False, False, True),
    ],
)
def test_rows_that_do_not_reach_far_enough_are_said_to_be(
    letters: str, run: int, from_first: bool, to_last: bool, clear: bool
) -> None:
    """What lies outside the window could change the name, or whether there is one at all."""
    found = streak_of(line(letters), str(run), from_first=from_first, to_last=to_last)
    assert isinstance(found, Unclear) is not clear


@pytest.mark.parametrize(
    ("letters", "run", "earlier"),
    [
        ("wWbbb", 2, ("0",)),
        ("Wbbb", 1, (FIRST,)),
        ("wbWbbb", 3, ("0",)),
        ("wbbbWbbb", 5, ("0",)),
        ("wWWbbb", 3, ("1", "0")),
        ("wWwbbb", 3, ()),
    ],
)
def test_names_that_a_streak_had_while_a_run_before_it_was_open(
    letters: str, run: int, earlier: tuple[str, ...]
) -> None:
    """A run that ended well later than the streak began did not part it from what was before."""
    found = streak_of(line(letters), str(run), from_first=True, to_last=True)
    assert isinstance(found, Streak)
    assert found.earlier == earlier


def test_a_name_that_was_given_to_other_runs_gets_a_number() -> None:
    """A run that ended well late parted what had one name."""
    streak = Streak(tuple(line("wbbb")[1:]), "0")
    other, own = frozenset({"7", "8", "9"}), frozenset({"3", "4"})
    assert decide(streak, {}) == Ask("0")
    assert decide(streak, {"0": None}) == Announce("0")
    assert decide(streak, {"0": own}) is None
    assert decide(streak, {"0": other}) == Ask("0/2")
    assert decide(streak, {"0": other, "0/2": None}) == Announce("0/2")
    assert decide(streak, {"0": other, "0/2": own}) is None


def test_the_id_of_a_streak_is_readable() -> None:
    """It names the tenant, the task, and where the streak begins."""
    assert streak_breach_id("acme", "report", FIRST) == "consecutive/acme/report/first"


@dataclass
class Watcher:
    """Looks after every end of a breached run, as notices do."""

    announced: dict[str, frozenset[str]] = field(default_factory=dict)

    def look(self, rows: list[Judged], run_id: str) -> None:
        """Announce the streak around a run, unless it was."""
        found = streak_of(rows, run_id, from_first=True, to_last=True)
        if not isinstance(found, Streak):
            return
        known: dict[str, frozenset[str] | None] = {}
        while isinstance(step := decide(found, known), Ask):
            known[step.name] = self.announced.get(step.name)
        if step:
            assert step.name not in self.announced
            self.announced[step.name] = frozenset(row.run_id for row in found.runs)
        runs = {row.run_id for row in found.runs}
        assert any(runs & told for told in self.announced.values())


RUNS = st.lists(st.tuples(st.booleans(), st.integers(1, 40)), min_size=1, max_size=14)
"""Of each run, one a minute: whether it broke its SLA, and after how many minutes it ended."""


def _played(runs: list[tuple[bool, int]]) -> tuple[Watcher, list[set[str]]]:
    """Everything that was announced, and the streaks that there are in the end."""
    rows = [
        Judged(
            f"{number:02}",
            AT + timedelta(minutes=number),
            breached,
            # No two end at once: who looks last sees all.
            AT + timedelta(minutes=number + took, milliseconds=number),
        )
        for number, (breached, took) in enumerate(runs)
    ]
    watcher, judged = Watcher(), list[Judged]()
    for row in sorted(rows, key=lambda row: row.ended_at or AT):
        judged.append(row)
        if row.breached:
            watcher.look(judged, row.run_id)
    streaks: list[set[str]] = [set()]
    for row in rows:
        if row.breached:
            streaks[-1].add(row.run_id)
        else:
            streaks.append(set())
    return watcher, [streak for streak in streaks if streak]


@given(RUNS)
def test_whoever_looks_leaves_no_streak_untold(runs: list[tuple[bool, int]]) -> None:
    """Each end of a breached run finds its streak told, or tells it: `look` asserts that."""
    _played(runs)


@given(RUNS)
def test_every_streak_is_announced_unless_it_was_parted_late(
    runs: list[tuple[bool, int]],
) -> None:
    """In whatever order breached runs end; those that end well take no time here."""
    watcher, streaks = _played([(breached, took if breached else 0) for breached, took in runs])
    for streak in streaks:
        if len(streak) >= LEAST:
            assert any(streak & told for told in watcher.announced.values())


@given(RUNS)
def test_no_streak_is_announced_twice(runs: list[tuple[bool, int]]) -> None:
    """Nor are the rest of those that turned out to be none, because a run ended well late."""
    watcher, streaks = _played(runs)
    for streak in streaks:
        assert sum(1 for told in watcher.announced.values() if streak & told) <= 1


@given(st.lists(st.booleans(), min_size=1, max_size=14))
def test_runs_that_end_in_order_are_announced_once_for_each_streak(runs: list[bool]) -> None:
    """Without overlaps there are exactly as many announcements as streaks."""
    watcher, streaks = _played([(breached, 1) for breached in runs])
    assert len(watcher.announced) == sum(len(streak) >= LEAST for streak in streaks)


@given(RUNS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(runs: list[tuple[bool, int]], chance: Random) -> None:
    """Lists of Temporal have an order of their own, and may show a run twice."""
    rows = [
        Judged(f"{number:02}", AT + timedelta(minutes=number), breached, AT)
        for number, (breached, _) in enumerate(runs)
    ]
    mixed = rows + rows[:2]
    chance.shuffle(mixed)
    for row in rows:
        one, other = (
            streak_of(some, row.run_id, from_first=True, to_last=True) for some in (rows, mixed)
        )
        assert one == other
