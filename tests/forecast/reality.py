"""Runs a day of tasks on a worker of its own, and scores forecasts by what really collided."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry
from temporalio.client import Client

from activities.forecast import ForecastActivities
from domain.attributes import TRIGGER_KIND
from domain.durations import LEAST_RUNS
from domain.registration import Registration
from domain.run import TriggerKind
from domain.scoring import ForecastTick, ForecastTicked, Score
from domain.task import IntervalTrigger, Task
from shared.calls import at_once
from shared.metrics import ForecastMetrics
from starter.control import trigger
from starter.registry import carry_out, make_plan
from tests.starter.harness import eventually_async

_OPEN_BY_HAND = f"{TRIGGER_KIND} = '{TriggerKind.MANUAL}' AND ExecutionStatus = 'Running'"
OFTEN = timedelta(seconds=15)
HOURS = 0.1
"""How far ahead: six minutes are more than a test lasts."""


@dataclass(slots=True)
class Reality:
    """What came of it."""

    score: Score = field(default_factory=Score)
    missed: list[str] = field(default_factory=list)
    ahead: int = 0

    def add(self, ticked: ForecastTicked) -> None:
        """One look more."""
        self.score = self.score.plus(ticked.score)
        self.missed += ticked.missed
        self.ahead = ticked.conflicts

    def said(self) -> str:
        """For the report of the test."""
        score = self.score
        return (
            f"hit rate {score.hit_rate or 0:.3f}, precision {score.precision or 0:.3f} "
            f"({score.hits} hits, {score.misses} misses, {score.by_hand} by hand, "
            f"{score.false_alarms} false alarms)\n" + "\n".join(self.missed)
        )


async def warmed_up(client: Client, day: Registration, *, task_queue: str) -> None:
    """Register the day and let it run until durations are learned.

    Tasks that fire rarely are run by hand as often as it takes; others do so by themselves.
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

    async def over() -> bool:
        return (await client.count_workflows(_OPEN_BY_HAND)).count == 0

    await eventually_async(over, within=90)


async def live_through(client: Client, *, task_queue: str, looks: int, every: float) -> Reality:
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
        found.add(last)
    return found
