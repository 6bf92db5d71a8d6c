"""Which tasks there are, and when they are due."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from domain.due import due_times
from domain.duration import format_duration
from domain.ids import event_run_id, scheduled_run_id
from domain.task import Task

STEADY, EXCLUSIVE = "steady", "exclusive"
"""Plugins: of most runs, and of those that share a mutex group."""
EVENT, SOURCE = "stress.told", "/stress"
ON_TIME = timedelta(minutes=1)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
_TENTH = 10
_SPARE = 1.02
"""Executions that are begun for each that is to be under way at once."""


@dataclass(frozen=True)
class Load:
    """So many tasks, evenly over so many tenants, at so many nominal times.

    In each tenant a tenth of the tasks share two mutex groups, a tenth are run by events as well,
    and every twentieth holds a unit of a resource. A tenant's quota is what it needs when all of
    its runs are under way. With a `stagger` of whole minutes all have one cron; shorter than that,
    which is for trials, they have the same instants instead. `spare`: how much more time there is
    to register all than that takes on a machine that does thirty in a second.
    """

    tasks: int = 10_000
    tenants: int = 100
    stagger: timedelta = timedelta(minutes=10)
    times: int = 2
    in_flight: int = 10_000
    spare: timedelta = timedelta(seconds=15)

    @property
    def by_cron(self) -> bool:
        """Whether a cron can say it: those have whole minutes."""
        return self.stagger % MINUTE == timedelta(0)

    @property
    def gap(self) -> timedelta:
        """Between two nominal times: the window of the first is over, and so are its runs."""
        unit = MINUTE if self.by_cron else SECOND
        return math.ceil((self.stagger + self.telling * 1.3) / unit) * unit

    @property
    def hold(self) -> timedelta:
        """How long executions of the last nominal time take: all begin before the first ends."""
        return self.stagger * 1.1 + self.telling + timedelta(seconds=2)

    @property
    def telling(self) -> timedelta:
        """How long the events of a nominal time take, from the end of its window on."""
        return max(self.stagger * 0.15, timedelta(seconds=2))

    @property
    def silence(self) -> timedelta:
        """After which an execution that reports its end alone counts as lost, and is tried again.

        It is what a call costs that a server lost which has too much to do.
        """
        return max(timedelta(seconds=30), math.ceil(self.hold * 1.2 / SECOND) * SECOND)

    @property
    def patience(self) -> timedelta:
        """How long after the last window runs may take, one of them lost and tried again."""
        return 2 * self.hold + self.silence + 5 * MINUTE

    @property
    def lead(self) -> timedelta:
        """Time to register all."""
        return timedelta(seconds=self.tasks / 30) + self.spare

    @cached_property
    def tenant_ids(self) -> list[str]:
        """Their names."""
        return [f"tenant-{number:03d}" for number in range(self.tenants)]

    @property
    def of_each(self) -> int:
        """Tasks of the tenant that has most."""
        return math.ceil(self.tasks / self.tenants)

    @cached_property
    def names(self) -> list[tuple[str, str, int]]:
        """Tenant, task, and the number of the task in its tenant."""
        places = (divmod(number, self.tenants) for number in range(self.tasks))
        return [(self.tenant_ids[tenant], f"task-{n:05d}", n) for n, tenant in places]

    @cached_property
    def heard(self) -> list[tuple[str, str]]:
        """Tenant and task of those that events run."""
        return [(tenant, task) for tenant, task, n in self.names if n % _TENTH == _TENTH // 2]

    @cached_property
    def groups(self) -> dict[str, str]:
        """The mutex group of a `tenant/task`, by a name that no other tenant has."""
        return {
            f"{tenant}/{task}": f"{tenant}:{_group(n)}"
            for tenant, task, n in self.names
            if n % _TENTH == 0
        }

    def events(self, number: int) -> list["Told"]:
        """Those of a nominal time (from 0): one for each task that hears them.

        At the last there are more where clocks alone do not begin enough executions.
        """
        count = len(self.heard)
        if number == self.times - 1:
            count = max(count, math.ceil(self.in_flight * _SPARE) - self.tasks + len(self.groups))
        return [Told(*self.heard[n % len(self.heard)], f"{number}-{n}") for n in range(count)]

    def first(self, now: datetime) -> datetime:
        """The first nominal time that leaves enough time to register."""
        unit = MINUTE if self.by_cron else timedelta(seconds=1)
        at = now.astimezone(UTC) + self.lead
        start = datetime(at.year, at.month, at.day, tzinfo=UTC)
        return start + math.ceil((at - start) / unit) * unit

    def nominal(self, first: datetime) -> list[datetime]:
        """All nominal times."""
        return [first + number * self.gap for number in range(self.times)]

    def document(self, first: datetime) -> dict[str, Any]:
        """The file that registers all of it, as a person would write it."""
        triggers, hold = self._triggers(first), self.hold
        more = math.ceil(len(self.events(self.times - 1)) / self.tenants)
        quota = {"max_concurrent": self.of_each + 2 * more, "resources": {"slots": self.of_each}}
        common = {
            "stagger": format_duration(self.stagger),
            "timeout": f"{math.ceil(2 * hold / SECOND) + 600}s",
            "heartbeat_timeout": f"{self.silence // SECOND}s",
            "queue_timeout": "30m",
            "overlap": "allow",  # a run that is late keeps none of the next nominal time
            "sla": {
                "start_within": format_duration(ON_TIME),
                "finish_within": f"{math.ceil(2 * hold / SECOND) + 1200}s",
            },
        }
        return {
            "tenants": [
                {"tenant_id": name, "quota": quota, "mutex_groups": {"line-0": 1, "line-1": 1}}
                for name in self.tenant_ids
            ],
            "tasks": [
                {"tenant_id": tenant, "task_id": task} | common | _kind(task, n, triggers)
                for tenant, task, n in self.names
            ],
        }

    def cron(self, first: datetime) -> str:
        """That of all tasks: it fires at the nominal times, and not soon after them."""
        times = self.nominal(first)
        minutes, hours = ({at.minute for at in times}, {at.hour for at in times})
        return f"{_listed(minutes)} {_listed(hours)} * * *"

    def _triggers(self, first: datetime) -> list[dict[str, str]]:
        if self.by_cron:
            return [{"cron": self.cron(first)}]
        return [{"at": at.isoformat()} for at in self.nominal(first)]


@dataclass(frozen=True, slots=True)
class Told:
    """An event that runs one task."""

    tenant_id: str
    task_id: str
    event_id: str

    @property
    def run_id(self) -> str:
        """Of the run that it is to start."""
        return event_run_id(self.tenant_id, self.task_id, SOURCE, self.event_id)

    def as_json(self) -> dict[str, Any]:
        """The CloudEvent."""
        said = {"specversion": "1.0", "id": self.event_id, "source": SOURCE, "type": EVENT}
        return said | {"data": {"task": self.task_id}}


def fires(tasks: Iterable[Task], after: datetime, until: datetime) -> dict[str, datetime]:
    """The runs that clocks owe between two moments, with their trigger times."""
    return {
        scheduled_run_id(task.tenant_id, task.task_id, due.scheduled_time): due.trigger_time
        for task in tasks
        for due in due_times(task, after=after, until=until)
    }


def _kind(task: str, n: int, triggers: list[dict[str, str]]) -> dict[str, Any]:
    if n % _TENTH == 0:
        said = {"plugin_id": EXCLUSIVE, "mutex": [_group(n)], "triggers": triggers}
        return said | {"heartbeat_timeout": "30s"}
    if n % _TENTH == _TENTH // 2:
        heard = {"event": EVENT, "filter": f'data.task == "{task}"'}
        return {"plugin_id": STEADY, "triggers": [*triggers, heard]}
    needs = {"resources": {"slots": 1}} if n % (2 * _TENTH) == _TENTH + 1 else {}
    return {"plugin_id": STEADY, "triggers": triggers} | needs


def _group(n: int) -> str:
    return f"line-{n // (2 * _TENTH) % 2}"


def _listed(numbers: set[int]) -> str:
    return ",".join(map(str, sorted(numbers)))
