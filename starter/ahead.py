"""What lies ahead of a tenant's tasks: fires, conflicts and blackouts, as a timeline shows them."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice

from temporalio.client import Client

from domain.agenda import Fire
from domain.fires_ahead import blackout_windows, fires_ahead
from domain.forecast import ConflictAhead, forecast
from domain.ids import scheduled_run_id
from domain.task import Task
from domain.triggers import zone_of
from starter.present import Present, read_present

MOST_FIRES = 3000
"""Looked at: of more, the first ones. Ten times as many take ten seconds where all collide."""
MOST_BLACKOUTS = 200


@dataclass(frozen=True, slots=True)
class FireAhead:
    """A fire that is to come: when it is due, and the run that it will be."""

    at: datetime
    task_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class BlackoutAhead:
    """A window in which fires of a task are skipped or put off."""

    task_id: str
    start: datetime
    end: datetime
    text: str


@dataclass(slots=True)
class Ahead:
    """One tenant from `start` to `end`; `paused`: ids of tasks that do not fire for now.

    `until`: the end, or earlier where there are too many fires to look at all of them; what comes
    after it is not known. `blackouts` reach back to `since`.
    """

    start: datetime
    end: datetime
    until: datetime
    since: datetime
    tasks: dict[str, Task] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    fires: list[FireAhead] = field(default_factory=list)
    conflicts: list[ConflictAhead] = field(default_factory=list)

    def zone(self, task_id: str) -> str:
        """The zone that a task's times are shown in; UTC for one that is registered no more."""
        task = self.tasks.get(task_id)
        return zone_of(task) if task else "UTC"

    @property
    def cut(self) -> bool:
        """Whether there are more fires than were looked at."""
        return self.until < self.end

    def after(self, now: datetime) -> "Ahead":
        """The same without what has come meanwhile."""
        return replace(
            self,
            fires=[fire for fire in self.fires if fire.at > now],
            conflicts=[conflict for conflict in self.conflicts if conflict.at > now],
        )

    def blackouts(self, task_ids: Collection[str]) -> list[BlackoutAhead]:
        """The windows of these tasks, the first ones of too many."""
        found = (
            BlackoutAhead(
                task_id,
                datetime.fromtimestamp(opens, UTC),
                datetime.fromtimestamp(closes, UTC),
                f"blackout {blackout.cron} ({blackout.timezone}): fires are "
                + ("skipped" if blackout.then == "skip" else "put off to its end"),
            )
            for task_id in task_ids
            if (task := self.tasks.get(task_id))
            for blackout in task.blackouts
            for opens, closes in blackout_windows(blackout, self.since, self.end)
        )
        return list(islice(found, MOST_BLACKOUTS))


async def look_ahead(
    client: Client, tenant_id: str, span: timedelta, now: datetime, *, task_queue: str
) -> Ahead:
    """What the next time brings the tenant's tasks, by the rules that decide live.

    Errors: `NoWorker`, `TemporalUnreachable`.
    """
    present = await read_present(client, task_queue, [tenant_id], now)
    # In a thread: it takes seconds for ten thousand tasks, and others are answered meanwhile.
    return await asyncio.to_thread(_ahead, present, span)


def _ahead(present: Present, span: timedelta) -> Ahead:
    start = present.now.astimezone(UTC).replace(microsecond=0)
    end = start + span
    fires = _fires(present, start, end)
    until = end if len(fires) <= MOST_FIRES else fires[MOST_FIRES - 1].at
    found = forecast(
        present.tasks,
        present.limits,
        present.durations,
        start=start,
        end=until,
        namespace_id=present.namespace_id,
        ledgers=present.books,
        propose=False,
    )
    return Ahead(
        start=start,
        end=end,
        until=until,
        since=start - span,
        tasks={key[1]: spans[-1].task for key, spans in present.tasks.items() if spans},
        paused={key[1] for key in present.tasks if present.paused(key)},
        fires=[_fire(fire) for fire in fires if fire.at <= until],
        conflicts=found.conflicts,
    )


def _fires(present: Present, start: datetime, end: datetime) -> list[Fire]:
    """In order, and one more than are looked at if there are more."""
    streams = [
        fires_ahead(key, spans, start=start, end=end, namespace_id=present.namespace_id)
        for key, spans in present.tasks.items()
    ]
    return list(islice(merge(*streams), MOST_FIRES + 1))


def _fire(fire: Fire) -> FireAhead:
    return FireAhead(fire.at, fire.key[1], scheduled_run_id(*fire.key, fire.scheduled))
