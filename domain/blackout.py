"""Blackout windows: what becomes of a fire that falls into one."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from domain.cron import parse_cron
from domain.fires import cron_times
from domain.task import Blackout, Task

MOST_WINDOWS = 100
"""So many windows in a row put a fire off; one that then still is in a window is skipped."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a fire: run at `at`, or be skipped for `reason`.

    A fire that is put off has an `at` later than its time, and the reason too.
    """

    at: datetime
    skipped: bool = False
    reason: str | None = None


def judge(task: Task, at: datetime) -> Verdict:
    """What the blackouts make of a fire at `at` (UTC); a window holds its start, not its end.

    Of several windows one that skips comes before those that put off. A fire put off into another
    window is judged there again.
    """
    moment, reason = at, None
    for _ in range(MOST_WINDOWS):
        windows = [
            (end, blackout)
            for blackout in task.blackouts
            if (end := _end_of_window(blackout, moment)) is not None
        ]
        if not windows:
            return Verdict(moment, reason=reason)
        for end, blackout in windows:
            if blackout.then == "skip":
                return Verdict(moment, skipped=True, reason=f"in a {_named(blackout, end)}")
        moment, blackout = max(windows, key=lambda window: window[0])
        reason = f"put off by a {_named(blackout, moment)}"
    return Verdict(moment, skipped=True, reason=f"still {reason}, after {MOST_WINDOWS} of them")


def _end_of_window(blackout: Blackout, at: datetime) -> datetime | None:
    """The end of the blackout's window around `at`, the latest if its windows overlap."""
    zone = ZoneInfo(blackout.timezone)
    starts = cron_times(parse_cron(blackout.cron), zone, after=at - blackout.duration, until=at)
    latest = max(starts, default=None)
    return None if latest is None else latest + blackout.duration


def _named(blackout: Blackout, end: datetime) -> str:
    return f"blackout ({blackout.cron}, {blackout.timezone}) until {end:%Y-%m-%d %H:%M:%S} UTC"
