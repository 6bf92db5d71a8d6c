"""Runs a day of tasks on a worker of its own, and scores forecasts by what really collided."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf

from prometheus_client import CollectorRegistry
from temporalio.client import Client

from activities.forecast import ForecastActivities
from domain.attributes import TRIGGER_KIND
from domain.durations import LEAST_RUNS
from domain.ids import parse_run_id
from domain.registration import Registration
from domain.run import TriggerKind
from domain.scoring import ForecastTick, ForecastTicked, Score
from domain.task import IntervalTrigger, Task
from sandbox.client import SandboxClient
from shared.calls import at_once
from shared.metrics import ForecastMetrics
from starter.control import trigger
from starter.registry import carry_out, make_plan
from tests.forecast.day import CLOCK
from tests.starter.harness import eventually_async

_OPEN_BY_HAND = f"{TRIGGER_KIND} = '{TriggerKind.MANUAL}' AND ExecutionStatus = 'Running'"
MOST_LATE = 2.0
"""Seconds, at a speed at which three stand for a minute, that starts may be late by themselves."""
OFTEN = timedelta(seconds=15)
WARM_UP = 30.0
"""Seconds at most: of what is not learned by then, the forecast knows what its task says."""
HOURS = 0.1
"""How far ahead: six minutes are more than a test lasts."""


@dataclass(slots=True)
class Reality:
    """What came of it."""

    score: Score = field(default_factory=Score)
    missed: list[str] = field(default_factory=list)
    judged: int = 0
    stalled: list[float] = field(default_factory=list)

    def add(self, ticked: ForecastTicked, late: float) -> None:
        """One look more, unless the machine itself was so late meanwhile that no plan held."""
        if late > MOST_LATE:
            self.stalled.append(late)
            return
        self.judged += 1
        self.score = self.score.plus(ticked.score)
        self.missed += ticked.missed

    def said(self) -> str:
        """For the report of the test."""
        score = self.score
        return (
            f"hit rate {score.hit_rate or 0:.3f}, precision {score.precision or 0:.3f} "
            f"({score.hits} hits, {score.misses} misses, {score.by_hand} by hand, "
            f"{score.false_alarms} false alarms) in {self.judged} looks; not judged: "
            f"{len(self.stalled)} with starts {max(self.stalled, default=0.0):.1f} s late\n"
            + "\n".join(self.missed)
        )


async def warmed_up(client: Client, day: Registration, *, task_queue: str) -> None:
    """Register the day and let it run until durations are learned.

    Tasks that fire rarely are run by hand, as often as it takes.
    """
    await carry_out(client, await make_plan(client, day, task_queue=task_queue))

    async def by_hand(task: Task) -> None:
        await trigger(client, task.tenant_id, task.task_id)

    rare = [
        task
        for task in day.tasks
        if isinstance(found := task.triggers[0], IntervalTrigger) and found.every > OFTEN
    ]
    await at_once(rare * LEAST_RUNS, by_hand)

    enough = time.monotonic() + WARM_UP

    async def over() -> bool:
        open_ones = await client.count_workflows(_OPEN_BY_HAND)
        return open_ones.count == 0 or time.monotonic() > enough

    await eventually_async(over, within=2 * WARM_UP)


async def lateness(sandbox: SandboxClient, since: datetime, until: datetime) -> float:
    """Seconds by which a run that was due in a window, and waits for nobody, started late."""
    started = [
        (delivery.started_at - run.scheduled_time).total_seconds()
        for delivery in await sandbox.deliveries(plugin_id=CLOCK)
        if (run := parse_run_id(delivery.run_id)) and run.scheduled_time
        if since < run.scheduled_time <= until
    ]
    return max(started, default=inf)


async def live_through(
    client: Client, sandbox: SandboxClient, *, task_queue: str, looks: int, every: float
) -> Reality:
    """Look ahead, wait, score and look ahead again: `looks` times, `every` so many seconds."""
    forecasts = ForecastActivities(
        client, ForecastMetrics(CollectorRegistry()), task_queue=task_queue, hours=HOURS
    )
    found = Reality()
    now = datetime.now(UTC)
    last = await forecasts.tick(ForecastTick(now=now))
    for _ in range(looks):
        since = now
        await asyncio.sleep(every)
        now = datetime.now(UTC)
        last = await forecasts.tick(ForecastTick(now=now, since=since, foreseen=last.foreseen))
        found.add(last, await lateness(sandbox, since, now))
    return found
