"""Blackout windows: what becomes of a fire that falls into one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from domain.cron import parse_cron
from domain.fires import cron_times
from domain.task import Blackout, Task

MOST_WINDOWS = 100
"""So many windows in a row put a fire off; one that then still is in a window is skipped."""

_LAST_HOUR = timedelta(hours=1)
_FURTHER = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a fire: run at `at`, or be skipped for `reason`.

    A fire that is put off has an `at` later than its time, and the reason too. `windows`: how many
    it was put off by. `until`: all fires before then are skipped as this one is.
    """

    at: datetime
    skipped: bool = False
    reason: str | None = None
    windows: int = 0
    until: datetime | None = None


def judge(task: Task, at: datetime) -> Verdict:
    """What the blackouts make of a fire at `at` (UTC); a window holds its start, not its end.

    Of several windows one that skips comes before those that put off. A fire put off into another
    window is judged there again.
    """
    moment, reason = at, None
    skipping = [blackout for blackout in task.blackouts if blackout.then == "skip"]
    deferring = [blackout for blackout in task.blackouts if blackout.then == "defer"]
    for number in range(MOST_WINDOWS):
        for end, blackout in _windows(skipping, moment):
            why, until = f"in a {_named(blackout, end)}", None if number else end
            return Verdict(moment, skipped=True, reason=why, windows=number, until=until)
        windows = list(_windows(deferring, moment))
        if not windows:
            return Verdict(moment, reason=reason, windows=number)
        moment, blackout = max(windows, key=lambda window: window[0])
        reason = f"put off by a {_named(blackout, moment)}"
    why = f"still {reason}, after {MOST_WINDOWS} of them"
    return Verdict(moment, skipped=True, reason=why, windows=MOST_WINDOWS)


def _windows(blackouts: list[Blackout], at: datetime) -> Iterator[tuple[datetime, Blackout]]:
    """The windows that `at` is in, by their ends."""
    for blackout in blackouts:
        if end := _end_of_window(blackout, at):
            yield end, blackout


def _end_of_window(blackout: Blackout, at: datetime) -> datetime | None:
    """The end of the blackout's window around `at`, the latest if its windows overlap.

    The last start counts: it is looked for further and further back, because a long window of an
    expression that means every minute has had millions of them.
    """
    zone, cron = ZoneInfo(blackout.timezone), parse_cron(blackout.cron)
    back = min(_LAST_HOUR, blackout.duration)
    while True:
        starts = cron_times(cron, zone, after=at - back, until=at)
        if latest := max(starts, default=None):
            return latest + blackout.duration
        if back >= blackout.duration:
            return None
        back = min(_FURTHER * back, blackout.duration)


def _named(blackout: Blackout, end: datetime) -> str:
    return f"blackout ({blackout.cron}, {blackout.timezone}) until {end:%Y-%m-%d %H:%M:%S} UTC"
