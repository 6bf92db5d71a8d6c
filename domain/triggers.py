"""When a task fires: all its triggers as one stream of nominal times."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from domain.fires import cron_times, interval_times, merge_times
from domain.task import CronTrigger, EventTrigger, IntervalTrigger, OneOffTrigger, Task, Trigger


def task_times(task: Task, *, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
    """Nominal times in UTC, strictly after `after` and up to `until`, in order, each once."""
    return merge_times(*(trigger_times(t, after=after, until=until) for t in task.triggers))


def next_times(task: Task, count: int, *, after: datetime) -> list[datetime]:
    """The next `count` nominal times, fewer when the task stops before that."""
    return list(islice(task_times(task, after=after), count))


def trigger_times(
    trigger: Trigger, *, after: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """Nominal times of one trigger; an event has none."""
    match trigger:
        case CronTrigger():
            zone = ZoneInfo(trigger.timezone)
            return cron_times(trigger.expression(), zone, after=after, until=until)
        case IntervalTrigger():
            return interval_times(trigger.every, trigger.offset, after=after, until=until)
        case OneOffTrigger():
            inside = trigger.at > after and (until is None or trigger.at <= until)
            return iter([trigger.at.astimezone(UTC)] if inside else [])
        case EventTrigger():
            return iter([])


def zone_of(task: Task) -> str:
    """The zone that a task's times are shown in: that of its cron triggers, else UTC."""
    return next((t.timezone for t in task.triggers if isinstance(t, CronTrigger)), "UTC")
