"""Values of a task that are each right and do not fit together, or that nothing can meet."""

from collections.abc import Iterator, Set
from datetime import timedelta

from domain.cron import CronExpression
from domain.event_checks import event_checks
from domain.limits import TenantLimits
from domain.problems import Problem
from domain.references import reference_problems
from domain.shifted import LONGEST_SHIFT
from domain.task import CronTrigger, IntervalTrigger, OneOffTrigger, Task
from domain.triggers import shortest_gap

MAX_PARAMS_BYTES = 64 * 1024
MOST_BLACKOUTS = 50
"""Every fire is held against each."""
MIN_CATCHUP = timedelta(seconds=10)  # Temporal's own least
FIRST_YEAR, LAST_YEAR = 1970, 2199  # times in nanoseconds, as the server keeps them, end in 2262


def check_task(
    task: Task, *, said: Set[str], least_interval: timedelta, limits: TenantLimits | None
) -> Iterator[Problem]:
    """Problems of a whole task, their paths below it.

    `said` are the fields of its own layer; `limits` its tenant's, when they are known already.
    """
    yield from _trigger_checks(task, least_interval)
    yield from _one_off_checks(task)
    yield from _time_checks(task, said)
    yield from _spread_checks(task)
    if len(task.blackouts) > MOST_BLACKOUTS:
        yield Problem(("blackouts",), f"{len(task.blackouts)}: {MOST_BLACKOUTS} are the most")
    yield from event_checks(task, said)
    yield from reference_problems(task.params, ("params",))
    if task.compensation:
        at = ("compensation", "params")
        yield from reference_problems(task.compensation.params, at)
    size = len(task.model_dump_json(include={"params"}))
    if size > MAX_PARAMS_BYTES:
        yield Problem(("params",), f"{size} bytes: the limit is {MAX_PARAMS_BYTES}")
    if limits:
        yield from limit_checks(task, limits)


def _trigger_checks(task: Task, least: timedelta) -> Iterator[Problem]:
    for index, trigger in enumerate(task.triggers):
        at = ("triggers", index)
        if isinstance(trigger, IntervalTrigger):
            if trigger.every < max(least, timedelta(seconds=1)):
                yield Problem((*at, "every"), f"more often than the least interval, {least}")
            elif trigger.every % timedelta(seconds=1):
                yield Problem((*at, "every"), "must be whole seconds")
            if trigger.offset >= trigger.every > timedelta(0):
                yield Problem((*at, "offset"), "must be shorter than `every`")
            elif trigger.offset % timedelta(seconds=1):
                yield Problem((*at, "offset"), "must be whole seconds")
        elif (
            isinstance(trigger, CronTrigger)
            and least > timedelta(minutes=1)
            and (gap := _least_gap(trigger.expression())) < least
        ):
            yield Problem((*at, "cron"), f"fires {gap} apart: the least interval is {least}")


def _one_off_checks(task: Task) -> Iterator[Problem]:
    for index, trigger in enumerate(task.triggers):
        if not isinstance(trigger, OneOffTrigger):
            continue
        at = ("triggers", index, "at")
        if not FIRST_YEAR <= trigger.at.year <= LAST_YEAR:
            yield Problem(at, f"must be in a year from {FIRST_YEAR} to {LAST_YEAR}")
        elif trigger.at.microsecond:
            yield Problem(at, "must be a whole second")


def _least_gap(cron: CronExpression) -> timedelta:
    """The least time between two fires, taking every day for one that the expression means."""
    times = sorted(60 * hour + minute for hour in cron.hours for minute in cron.minutes)
    later = [*times[1:], times[0] + 24 * 60]
    return timedelta(minutes=min(after - at for at, after in zip(times, later, strict=True)))


def _time_checks(task: Task, said: Set[str]) -> Iterator[Problem]:
    second = timedelta(seconds=1)
    for name in ("timeout", "heartbeat_timeout", "queue_timeout", "expected_duration"):
        if (value := getattr(task, name)) is not None and value < second:
            yield Problem((name,), "must be at least 1s")
    if {"timeout", "heartbeat_timeout"} <= said and task.heartbeat_timeout > task.timeout:
        yield Problem(("heartbeat_timeout",), "must not be longer than `timeout`")
    if task.catchup < MIN_CATCHUP:
        yield Problem(("catchup",), f"must be at least {MIN_CATCHUP.seconds}s")
    if task.retry.initial_interval < timedelta(milliseconds=100):
        yield Problem(("retry", "initial_interval"), "must be at least 100ms")
    if task.retry.max_interval < task.retry.initial_interval:
        yield Problem(("retry", "max_interval"), "must not be shorter than `initial_interval`")
    if task.sla and task.sla.start_within > task.sla.finish_within:
        yield Problem(("sla", "start_within"), "must not be longer than `finish_within`")


def _spread_checks(task: Task) -> Iterator[Problem]:
    """Stagger moves a fire, jitter moves it on: never past the next one."""
    for name in ("stagger", "spread", "jitter"):
        if getattr(task, name) % timedelta(seconds=1):
            yield Problem((name,), "must be whole seconds")
    shift = task.stagger + task.spread
    if not shift:
        return
    name = "stagger" if task.stagger else "spread"
    if shift > LONGEST_SHIFT:
        yield Problem((name,), f"must be at most {LONGEST_SHIFT.days} days")
    if any(isinstance(one, IntervalTrigger) and not one.every for one in task.triggers):
        return  # it has no times, and is refused for that
    gap = shortest_gap(tuple(task.triggers))
    if gap is not None and shift > gap:
        message = f"the task fires {gap} apart: a longer window would move fires past the next"
        yield Problem((name,), message)


def limit_checks(task: Task, limits: TenantLimits) -> Iterator[Problem]:
    """What the task asks of its tenant and can never get."""
    for name, wanted in task.resources.items():
        limit = limits.resources.get(name)
        if limit is not None and wanted > limit:
            message = f"{wanted} can never be met: the tenant's quota is {limit}"
            yield Problem(("resources", name), message)
    for index, group in enumerate(task.mutex):
        if group not in limits.mutex_groups:
            known = ", ".join(sorted(limits.mutex_groups)) or "it has none"
            message = f"{group!r} is not a mutex group of the tenant ({known}): declare it there"
            yield Problem(("mutex", index), message)
