"""The fires of a task in a window as a simulation takes them, moved and judged by its blackouts."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from domain.agenda import Fire, Key, Spans, fires_of
from domain.blackout import judge
from domain.cron import parse_cron
from domain.fires import cron_times
from domain.ids import run_id_prefix, schedule_id
from domain.jitter import jitter_seed, trigger_time
from domain.simulation import Arrival, Met, Outcome
from domain.task import Blackout, Task

BLACKOUT = "blackout:"
"""What the dimension of a blackout begins with; its cron follows."""


def fires_ahead(
    key: Key, spans: Spans, *, start: datetime, end: datetime, namespace_id: str | None
) -> Iterator[Fire]:
    """The fires of one task with start < trigger time <= end, in order.

    A task that is registered, and not paused, has a span that is still open.
    """
    ahead = tuple(
        replace(span, until=min(span.until or end, end))
        for span in spans
        if span.since < end and (span.until is None or span.until + span.task.jitter > start)
    )
    for fire in fires_of(key, ahead, after=start, namespace_id=namespace_id):
        if fire.at <= end:
            yield fire


def moved(
    task: Task, fires: Sequence[Fire], shift: timedelta, namespace_id: str | None
) -> list[Fire]:
    """The same fires if the task's triggers said a later time; their jitter is another one."""
    later = [Fire(fire.at + shift, fire.key, fire.scheduled + shift) for fire in fires]
    if not task.jitter or namespace_id is None:
        return later
    seed = jitter_seed(namespace_id, schedule_id(task.tenant_id, task.task_id))
    following = [*(fire.scheduled for fire in later[1:]), None]
    return [
        replace(fire, at=trigger_time(fire.scheduled, then, task.jitter, seed))
        for fire, then in zip(later, following, strict=True)
    ]


@dataclass(slots=True)
class Judged:
    """What is left of a task's fires: `arrivals` ask, `met` a blackout, the last of them until
    `latest_end` (seconds since 1970).
    """

    arrivals: list[Arrival]
    met: list[Met]
    latest_end: float = 0.0


def judged(task: Task, fires: Sequence[Fire], start: datetime, end: datetime) -> Judged:
    """The fires as runs that ask; `start` and `end` bound them, for windows worked out once."""
    prefix = run_id_prefix(task.tenant_id, task.task_id)
    arrivals = [
        # What `scheduled_run_id` gives, at a quarter of its cost: the order of two runs that ask
        # at once depends on their ids.
        (fire.at.timestamp(), f"{prefix}-{fire.scheduled.isoformat()[:19]}Z", task.task_id)
        for fire in fires
    ]
    if not task.blackouts or not fires:
        return Judged(arrivals, [])
    found = Judged([], [])
    windows = [(blackout_windows(blackout, start, end), blackout) for blackout in task.blackouts]
    for fire, arrival in zip(fires, arrivals, strict=True):
        at = arrival[0]
        inside = [(to, blackout) for spans, blackout in windows if (to := _end_of(spans, at))]
        if not inside:
            found.arrivals.append(arrival)
            continue
        last, blackout = max(inside, key=lambda window: window[0])
        found.latest_end = last
        verdict = judge(task, fire.at)
        wait = None if verdict.skipped else verdict.at.timestamp() - at
        outcome = Outcome.SKIPPED if verdict.skipped else Outcome.WAITS
        dimension = f"{BLACKOUT}{blackout.cron}"
        found.met.append(Met(at, arrival[1], task.task_id, dimension, (), outcome, wait))
        if wait is not None:
            found.arrivals.append((at + wait, *arrival[1:]))
    return found


def _end_of(windows: Sequence[tuple[float, float]], at: float) -> float | None:
    """The end of the window around `at`; windows do not overlap."""
    place = bisect_right(windows, (at, float("inf"))) - 1
    return windows[place][1] if place >= 0 and at < windows[place][1] else None


def blackout_windows(
    blackout: Blackout, start: datetime, end: datetime
) -> list[tuple[float, float]]:
    """Its windows that touch (start, end), in seconds since 1970; those that overlap as one."""
    return _windows_of(blackout.cron, blackout.timezone, blackout.duration, start, end)


@lru_cache(maxsize=1000)
def _windows_of(
    cron: str, zone: str, duration: timedelta, start: datetime, end: datetime
) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    times = cron_times(
        parse_cron(cron),
        ZoneInfo(zone),
        after=start.astimezone(UTC) - duration - timedelta(seconds=1),
        until=end,
    )
    for opens in times:
        begin, close = opens.timestamp(), (opens + duration).timestamp()
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], close))
        else:
            found.append((begin, close))
    return found
