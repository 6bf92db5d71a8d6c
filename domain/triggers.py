"""When a task fires: all its triggers as one stream of nominal times."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from domain.fires import cron_times, interval_times, merge_times
from domain.task import CronTrigger, EventTrigger, IntervalTrigger, OneOffTrigger, Task, Trigger

_SAMPLE = 1500
_SAMPLE_START = datetime(2028, 1, 1, tzinfo=UTC)  # a leap year, and any fixed one will do
_SAMPLE_END = datetime(2030, 1, 1, tzinfo=UTC)


def task_times(task: Task, *, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
    """Nominal times in UTC, strictly after `after` and up to `until`, in order, each once."""
    return _times(task.triggers, after, until)


@lru_cache(maxsize=1024)
def shortest_gap(triggers: tuple[Trigger, ...]) -> timedelta | None:
    """The least time between two fires of a task with these triggers; None: it has not two.

    Of the first fires of two years, which changes of clocks and a leap day are in.
    """
    times = islice(_times(triggers, _SAMPLE_START, _SAMPLE_END), _SAMPLE)
    return min((later - at for at, later in pairwise(times)), default=None)


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


def _times(
    triggers: Sequence[Trigger], after: datetime, until: datetime | None
) -> Iterator[datetime]:
    return merge_times(*(trigger_times(one, after=after, until=until) for one in triggers))


def zone_of(task: Task) -> str:
    """The zone that a task's times are shown in: that of its cron triggers, else UTC."""
    return next((t.timezone for t in task.triggers if isinstance(t, CronTrigger)), "UTC")
