"""When the run of a nominal time is due: stagger and jitter, known in advance.

Three times belong to a fire. The *nominal time* is what the trigger says. The *scheduled time* is
the nominal time plus the task's stagger and spread: it is what the schedule's calendars say, what
Temporal appends to the run's id, and what it hands to the run. The *trigger time* adds the jitter
of this fire: then Temporal starts the run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.blackout import judge
from domain.jitter import stagger_offset
from domain.jitter import trigger_time as jittered
from domain.task import Task
from domain.triggers import task_times

LOOK_AHEAD = 10_000
LAST_YEAR = 2199


@dataclass(frozen=True, slots=True)
class Due:
    """The times of one fire, in UTC."""

    nominal_time: datetime
    scheduled_time: datetime
    trigger_time: datetime


def stagger_of(task: Task) -> timedelta:
    """By how much all fires of the task come later than their nominal times: with its spread."""
    return stagger_offset(task.tenant_id, task.task_id, task.stagger) + task.spread


def due_times(
    task: Task, *, after: datetime, until: datetime | None = None, seed: str | None = None
) -> Iterator[Due]:
    """Fires whose scheduled time is after `after` and not after `until`, in order.

    `seed` is that of `domain.jitter.jitter_seed`; a task with jitter has unknown trigger times
    without it, and they are given as if it had none.
    """
    stagger = stagger_of(task)
    end = None if until is None else until - stagger
    times = task_times(task, after=after - stagger, until=end)
    if not task.jitter or seed is None:
        for nominal in times:
            scheduled = nominal + stagger
            yield Due(nominal, scheduled, scheduled)
        return
    # Each fire's jitter is bounded by the next fire, which comes out of the same stream anyway:
    # only the last one of a window needs a look beyond it.
    nominal_time = next(times, None)
    while nominal_time is not None:
        following = next(times, None)
        bound = following
        if bound is None and end is not None:
            bound = next(task_times(task, after=nominal_time), None)
        scheduled = nominal_time + stagger
        bound = None if bound is None else bound + stagger
        yield Due(nominal_time, scheduled, jittered(scheduled, bound, task.jitter, seed))
        nominal_time = following


def next_due(task: Task, count: int, *, after: datetime, seed: str | None = None) -> list[datetime]:
    """When the next `count` runs start that no blackout skips; fewer when the task stops before.

    A blackout that is always on leaves none: fires are held against blackouts `LOOK_AHEAD` times at
    most, and those after `LAST_YEAR` are not looked at.
    """
    found: list[datetime] = []
    looks, skipped_until = 0, after
    fires = due_times(task, after=after, seed=seed)
    while len(found) < count and looks < LOOK_AHEAD:
        due = next(fires, None)
        if due is None or due.scheduled_time.year > LAST_YEAR:
            break
        if due.trigger_time < skipped_until:
            continue
        verdict = judge(task, due.trigger_time)
        looks += (1 + verdict.windows) * max(1, len(task.blackouts))
        if not verdict.skipped:
            found.append(verdict.at)
        if verdict.until:
            skipped_until = verdict.until
            start = max(due.scheduled_time, skipped_until - task.jitter - timedelta(seconds=1))
            fires = due_times(task, after=start, seed=seed)
    return found


def due_of(task: Task, scheduled: datetime, seed: str | None) -> Due:
    """The times of the fire with this scheduled time."""
    nominal = scheduled - stagger_of(task)
    return Due(nominal, scheduled, _trigger_time(task, nominal, scheduled, seed))


def _trigger_time(task: Task, nominal: datetime, scheduled: datetime, seed: str | None) -> datetime:
    if not task.jitter or seed is None:
        return scheduled
    following = next(task_times(task, after=nominal), None)
    next_scheduled = None if following is None else following + (scheduled - nominal)
    return jittered(scheduled, next_scheduled, task.jitter, seed)
