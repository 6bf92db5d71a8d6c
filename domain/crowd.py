"""How many fires of a tenant share a minute, and where a task goes that would be one too many.

Temporal starts the runs of one second one after the other, whoever's they are: a tenant with ten
thousand of them would make all others late. Minutes are those of a day in UTC, whatever the date:
two tasks of different weekdays count as if they met, and an interval that does not divide a day
counts as it comes on that day.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from zoneinfo import ZoneInfo

from domain.due import stagger_of
from domain.task import CronTrigger, IntervalTrigger, OneOffTrigger, Task, Trigger
from domain.triggers import shortest_gap

FARTHEST = timedelta(hours=12)
"""A task is moved by no more than this."""
STEP = 5
"""Seconds: a moved task comes at one of the twelve marks of its minute, as each is a calendar."""

_DAY = 86_400
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_CHANGE = timedelta(minutes=30)


def most_at_once(task: Task, day: date) -> int:
    """The most fires that the task itself has in one minute: 0 for one that only events run."""
    return max(Counter(_minutes_of(task, day, timedelta(0))).values(), default=0)


class Crowd:
    """The fires of one tenant: at most `most` may share a minute.

    `day` decides what zones read now, and which instants are over.
    """

    def __init__(self, most: int, day: date) -> None:
        self._most = most
        self._day = day
        self._fires: Counter[int] = Counter()
        self._tasks: dict[str, tuple[int, ...]] = {}

    def counts_like(self, other: "Crowd") -> bool:
        """Whether it counts by the same limit and day."""
        return (self._most, self._day) == (other._most, other._day)

    def copy(self) -> "Crowd":
        """The same, to try a change on."""
        other = Crowd(self._most, self._day)
        other._fires = self._fires.copy()
        other._tasks = self._tasks.copy()
        return other

    def add(self, task: Task) -> None:
        """Count a task as it is, in place of what it was before."""
        self.remove(task.task_id)
        self._count(task, task.spread)

    def remove(self, task_id: str) -> None:
        """Count a task no more."""
        self._fires.subtract(self._tasks.pop(task_id, ()))

    def place(self, task: Task) -> timedelta | None:
        """The least spread with which it fits, its own if that does; then it is counted.

        None: there is no room between one of its fires and the next, and it is not counted.
        """
        self.remove(task.task_id)
        if self._fits(task, task.spread):
            self._count(task, task.spread)
            return task.spread
        seconds = _mark(task)
        for minutes in range(1, _room(task, self._day) // _MINUTE):
            spread = timedelta(minutes=minutes, seconds=seconds)
            if self._fits(task, spread):
                self._count(task, spread)
                return spread
        return None

    def place_all(
        self, tasks: Mapping[int, Task], registered: Mapping[str, Task]
    ) -> tuple[dict[int, timedelta], list[int]]:
        """The spread of each of these tasks, by its key, and the keys of those with no room.

        `registered`: the tasks that are counted, by id. One of them that is to have the same times
        stays where it is, and so is placed before any other.
        """
        for task in tasks.values():
            self.remove(task.task_id)
        staying = {
            key: now
            for key, task in tasks.items()
            if (now := registered.get(task.task_id)) and _stays(now, task)
        }
        spreads: dict[int, timedelta] = {}
        full: list[int] = []
        for key in [*staying, *(key for key in tasks if key not in staying)]:
            now = staying.get(key)
            spread = self.place(now or tasks[key])
            if spread is None and now:
                self.add(now)  # no worse than it is, and what is registered is not refused
                spread = now.spread
            if spread is None:
                full.append(key)
            else:
                spreads[key] = spread
        return spreads, full

    def _fits(self, task: Task, spread: timedelta) -> bool:
        wanted = Counter(_minutes_of(task, self._day, spread))
        return all(self._fires[minute] + n <= self._most for minute, n in wanted.items())

    def _count(self, task: Task, spread: timedelta) -> None:
        minutes = _minutes_of(task, self._day, spread)
        self._tasks[task.task_id] = minutes
        self._fires.update(minutes)


def _stays(now: Task, wanted: Task) -> bool:
    """Whether the times are the same, and no other place is asked for."""
    same = (now.triggers, now.stagger) == (wanted.triggers, wanted.stagger)
    return same and wanted.spread in (timedelta(0), now.spread)


def _minutes_of(task: Task, day: date, spread: timedelta) -> tuple[int, ...]:
    shift = (stagger_of(task) - task.spread + spread) // _SECOND
    return tuple((second + shift) % _DAY // 60 for second in _seconds(tuple(task.triggers), day))


def _mark(task: Task) -> int:
    digest = blake2b(f"{task.tenant_id}/{task.task_id}".encode(), digest_size=2).digest()
    return int.from_bytes(digest) % (60 // STEP) * STEP


def _room(task: Task, day: date) -> timedelta:
    """How far the task can be moved without a fire ever coming after the next one's time.

    A change of the clocks takes up to an hour from a gap that is longer than half of one.
    """
    seconds = sorted(set(_seconds(tuple(task.triggers), day)))
    if not seconds:
        return timedelta(0)
    gap = min(later - at for at, later in pairwise([*seconds, seconds[0] + _DAY])) * _SECOND
    sure = gap if gap <= _CHANGE else gap / 2
    gap_of_other_days = shortest_gap(tuple(task.triggers)) or FARTHEST
    return min(sure, gap_of_other_days, FARTHEST) - task.stagger


@lru_cache(maxsize=4096)
def _seconds(triggers: tuple[Trigger, ...], day: date) -> tuple[int, ...]:
    """The seconds of the day in UTC at which these fire; one that two name is there twice."""
    return tuple(second for trigger in triggers for second in _seconds_of(trigger, day))


def _seconds_of(trigger: Trigger, day: date) -> Iterable[int]:
    midnight = datetime.combine(day, time(), UTC)
    match trigger:
        case CronTrigger():
            cron, offset = trigger.expression(), midnight.astimezone(ZoneInfo(trigger.timezone))
            ahead = (offset.utcoffset() or timedelta(0)) // _SECOND
            return [
                (3600 * hour + 60 * minute - ahead) % _DAY
                for hour in cron.hours
                for minute in cron.minutes
            ]
        case IntervalTrigger():
            every, first = trigger.every // _SECOND, trigger.offset // _SECOND
            since = int(midnight.timestamp())
            start = (first - since) % every
            return range(start, _DAY, every) if start < _DAY else [start % _DAY]
        case OneOffTrigger():
            return [int(trigger.at.timestamp()) % _DAY] if trigger.at >= midnight else []
        case _:
            return []
