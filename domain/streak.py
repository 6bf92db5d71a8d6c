"""Which runs of a task form a streak of breaches, what that is called, and whether it was told.

Pure: rows are arguments. A streak is a number of runs in order of their trigger times that broke
their SLA, with none between them that ended well. Runs that are not judged yet are no rows. When
one of them ends well, it may part a streak or give it another name: so each announcement says
which runs it was about, and a streak that has one of them was announced.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

LEAST = 3
"""So many runs in a row are a streak."""
FIRST = "first"
"""Stands for the run before a streak that begins with the task's first run."""
RUNS_MEMO = "runs"
"""Memo field of a notice of consecutive breaches: the runs that it is about."""
RUNS_TOLD = 100
MOST_EARLIER = 100
"""Names that a streak may have had, at most: so many runs overlap only when a task is in trouble
of another kind, and then it is better told twice."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A run whose SLA is judged. `ended_at`: None while it is open."""

    run_id: str
    trigger_time: datetime
    breached: bool
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Streak:
    """The breached runs around one, oldest first.

    `after` is the run that ended well before them, or `FIRST`. `earlier` are those after which it
    may have been announced, while `after` was still open.
    """

    runs: tuple[Judged, ...]
    after: str
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unclear:
    """The rows do not reach far enough to say."""


def streak_of(
    rows: Iterable[Judged], run_id: str, *, from_first: bool, to_last: bool
) -> Streak | Unclear | None:
    """The streak that contains a run; None when it is shorter than `LEAST`, or the run is no row.

    `from_first`, `to_last`: the rows include the task's first, and its last, judged run.
    """
    line = sorted({row.run_id: row for row in rows}.values(), key=_place)
    at = next((i for i, row in enumerate(line) if row.run_id == run_id and row.breached), None)
    if at is None:
        return None
    begin = end = at
    while begin > 0 and line[begin - 1].breached:
        begin -= 1
    while end + 1 < len(line) and line[end + 1].breached:
        end += 1
    runs = tuple(line[begin : end + 1])
    if len(runs) < LEAST:
        open_ended = (begin == 0 and not from_first) or (end + 1 == len(line) and not to_last)
        return Unclear() if open_ended else None
    if begin == 0:
        return Streak(runs, FIRST) if from_first else Unclear()
    earlier = _earlier(line[:begin], runs[0], from_first=from_first)
    if earlier is None:
        return Unclear()
    return Streak(runs, line[begin - 1].run_id, earlier)


def _earlier(before: list[Judged], first: Judged, *, from_first: bool) -> tuple[str, ...] | None:
    """What the streak may have been called; None when the rows do not reach far enough.

    `before` ends with the run that it is called after now. That one, if it was open when the streak
    began, did not part it yet from what is in front of it.
    """
    names: list[str] = []
    at = len(before) - 1
    while _was_open(before[at], first) and len(names) < MOST_EARLIER:
        well = at - 1
        while well >= 0 and before[well].breached:
            well -= 1
        if well < 0 and not from_first:
            return None
        names.append(before[well].run_id if well >= 0 else FIRST)
        if well < 0:
            break
        at = well
    return tuple(names)


def _was_open(run: Judged, first: Judged) -> bool:
    return run.ended_at is None or run.ended_at > first.trigger_time


def _place(row: Judged) -> tuple[datetime, str]:
    return row.trigger_time, row.run_id


@dataclass(frozen=True, slots=True)
class Ask:
    """Look up which runs were announced under a name."""

    name: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Nobody was told of this streak: tell it under this name."""

    name: str


Known = Mapping[str, frozenset[str] | None]
"""The runs that were announced under a name; None when nothing was."""


def decide(streak: Streak, known: Known) -> Ask | Announce | None:
    """What to do about a streak, given what is known; None when people were told of it.

    A name is taken when it was announced of other runs: they were parted from these since, by a run
    that ended well. Then the next is `<name>/2`. What is parted after it was told is not told again
    by its parts: runs that end well raise no notices.
    """
    runs = frozenset(run.run_id for run in streak.runs)
    fresh = None
    for after in (streak.after, *streak.earlier):
        number, name = 1, after
        while True:
            if name not in known:
                return Ask(name)
            told = known[name]
            if told is None:
                break
            if told & runs:
                return None
            number += 1
            name = f"{after}/{number}"
        fresh = fresh or name
    return Announce(fresh or streak.after)


def streak_breach_id(tenant_id: str, task_id: str, name: str) -> str:
    """`consecutive/<tenant>/<task>/<run before it, or "first">`: once for a streak."""
    return f"consecutive/{tenant_id}/{task_id}/{name}"
