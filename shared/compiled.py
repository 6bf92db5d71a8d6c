"""A task's compiled spec as Temporal's client takes it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from temporalio.client import (
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleRange,
    ScheduleSpec,
)

from domain.calendars import Calendar, Range, one_off_calendar
from domain.compiled import Horizon, compile_task
from domain.due import stagger_of
from domain.limits import takes_events
from domain.task import EventTrigger, Task
from domain.temporal_model import CompiledSpec, Interval

_CACHED = 20_000
_CACHE: dict[tuple[tuple[str, ...], timedelta, Horizon], CompiledSpec] = {}

# The server deletes a schedule that has nothing left to do: a task that has events gets one fire in
# the last year that calendars know. Its comment tells lists what the events are.
_SENTINEL = one_off_calendar(datetime(2100, 1, 1, tzinfo=UTC))
SENTINEL_YEARS = 2099
"""From here on, in UTC, a time of a task that has events is none of its own."""
ON = "on "
"""What the comment begins with; JSON follows, or `...` when that would be long."""
_LONGEST_COMMENT = 500


def compiled_spec(task: Task, now: datetime) -> ScheduleSpec:
    """The spec of the task's schedule: its triggers moved by its stagger, exact, with its jitter.

    Errors: `CannotCompile`, a `ValueError`.
    """
    spec = schedule_spec(_compiled(task, stagger_of(task), Horizon.of(now)))
    if takes_events(task):
        spec.calendars = [*spec.calendars, _calendar(_sentinel(task))]
    spec.jitter = task.jitter or None
    return spec


def exact_until(task: Task, now: datetime) -> datetime | None:
    """Until when `compiled_spec` mends the changes of clocks; None when there are none to mend."""
    return _compiled(task, stagger_of(task), Horizon.of(now)).exact_until


def _compiled(task: Task, shift: timedelta, horizon: Horizon) -> CompiledSpec:
    """Compiling a zone's clock changes takes tens of milliseconds, and many tasks share a cron."""
    key = (tuple(trigger.model_dump_json() for trigger in task.triggers), shift, horizon)
    if key not in _CACHE:
        if len(_CACHE) >= _CACHED:
            _CACHE.clear()
        _CACHE[key] = compile_task(task, shift=shift, now=horizon.start)
    return _CACHE[key]


def schedule_spec(spec: CompiledSpec) -> ScheduleSpec:
    """A compiled spec in the client's types, without jitter."""
    instants = (instant.interval for instant in spec.instants)
    return ScheduleSpec(
        calendars=[_calendar(c) for c in spec.calendars],
        intervals=[_interval(i) for i in (*spec.intervals, *instants)],
        skip=[_calendar(c) for c in spec.skips],
        time_zone_name=spec.zone,
    )


def _sentinel(task: Task) -> Calendar:
    events = [
        trigger.model_dump(mode="json", exclude_none=True)
        for trigger in task.triggers
        if isinstance(trigger, EventTrigger)
    ]
    text = ON + json.dumps(events, ensure_ascii=False, separators=(",", ":"))
    return replace(_SENTINEL, comment=text if len(text) <= _LONGEST_COMMENT else f"{ON}...")


def _interval(interval: Interval) -> ScheduleIntervalSpec:
    return ScheduleIntervalSpec(interval.every, interval.offset or None)


def _calendar(calendar: Calendar) -> ScheduleCalendarSpec:
    def ranges(values: tuple[Range, ...]) -> tuple[ScheduleRange, ...]:
        return tuple(ScheduleRange(r.start, r.end, r.step) for r in values)

    return ScheduleCalendarSpec(
        second=ranges(calendar.second),
        minute=ranges(calendar.minute),
        hour=ranges(calendar.hour),
        day_of_month=ranges(calendar.day_of_month),
        month=ranges(calendar.month),
        year=ranges(calendar.year),
        day_of_week=ranges(calendar.day_of_week),
        comment=calendar.comment,
    )
