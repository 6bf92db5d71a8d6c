"""What the simulated load meets first: each part of the product beside what one of it holds.

Figures that were measured say by what; they are those of two cores that the embedded server,
worker and plugins shared, so that a cluster's are larger. The others are settings, read where they
are set.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from benchmarks.million.tally import MINUTE, Tally, busiest_minute
from benchmarks.million.tenants import Drawn
from domain.document import parse_yaml
from domain.registry import (
    MOST_BYTES,
    SHARDS,
    Put,
    PutTask,
    Shard,
    Snapshot,
    pack_task,
    shard_of,
)
from shared.settings import ROOT, Settings
from worker.build import MAX_CALLS
from worker.watch import FORECASTING, WATCHING

GOVERNOR_PER_S = 40.0
"""Answers of one governor, and less than half of what any measurement said: `benchmarks.admission`
makes 148 grants a second beside runs that share its two cores.
"""
STARTS_PER_S = 34.0
"""Runs that the embedded server starts by schedules on two cores, at most: `benchmarks.bomb`."""
WATCH_S_PER_TASK = 5.4 / 10_000
"""Of a warm tick: `benchmarks.watch`."""
FORECAST_S_PER_FIRE = 9.8 / 240_001
"""On one core, proposals included: `benchmarks.forecast`."""
CPU_S_PER_RUN = 0.07
"""Of a plain run, of server, worker and plugins together: `make bench`."""
DATABASE_KB_PER_RUN = 27.0
"""Of a plain run, in the embedded server's: `benchmarks.growth`."""
TASKS_PER_NAMESPACE = 50_000
"""A tick of the watch then takes half of its minute."""
SAMPLE = 100
"""Tasks of a tenant whose packed size is measured."""
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Reached:
    """A part, how much of it the load needs, and how much there is."""

    part: str
    needs: float
    holds: float

    @property
    def times(self) -> float:
        """Above 1 it is not enough."""
        return self.needs / self.holds


@dataclass(slots=True)
class Registries:
    """What registering has to keep, and to spread over minutes."""

    shards: int = 0
    bytes: float = 0.0
    largest: float = 0.0
    """Bytes of the tenant that has most."""
    moved: int = 0
    refused: int = 0

    def add(self, drawn: Drawn, at: datetime) -> None:
        """Count a tenant: some of its tasks are packed, and stand for the others."""
        tasks = drawn.tasks
        sample = tasks[:: -(-len(tasks) // SAMPLE)]
        shard = Shard(Snapshot())
        puts = [
            PutTask(task_id=t.task_id, task=pack_task(t), weight=1.0, digest="", task_queue="")
            for t in sample
        ]
        shard.put(Put(at=at, tasks=puts))
        sizes = [entry.size for entry in shard.snapshot().entries.values()]
        own = sum(sizes) / len(sizes) * len(tasks)
        self.shards += len({shard_of(task.task_id) for task in tasks})
        self.bytes += own
        self.largest = max(self.largest, own)
        self.moved += drawn.moved
        self.refused += drawn.refused


def reached(
    tally: Tally, registries: Registries, starts_per_s: float, governor_per_s: float
) -> list[Reached]:
    """The parts, what the load needs of each, the scarcest first.

    `starts_per_s`: with fewer, somebody starts late; `governor_per_s`: what one governor answers.
    """
    tenants = tally.of_tenants()
    tasks = tenants["tasks"]["sum"]
    hours = tally.seconds / MINUTE / MINUTE
    ahead = tally.fires / hours * Settings.model_fields["forecast_hours"].default
    parts = [
        Reached(
            "starts/s, of one server on two cores",
            starts_per_s,
            STARTS_PER_S,
        ),
        Reached(
            "starts/s, as dynamicconfig.yaml allows",
            starts_per_s,
            _scheduler_starts(),
        ),
        Reached(
            "answers/s of the busiest governor",
            tenants["decisions_minute"]["max"] / MINUTE,
            governor_per_s,
        ),
        Reached(
            "MB in registries of the largest tenant",
            registries.largest / 1e6,
            SHARDS * MOST_BYTES / 1e6,
        ),
        Reached(
            "s of a tick of the watch",
            tasks * WATCH_S_PER_TASK,
            WATCHING.every / _SECOND,
        ),
        Reached(
            "s of a look of the forecast",
            ahead * FORECAST_S_PER_FIRE,
            FORECASTING.every / _SECOND,
        ),
        Reached("plugin calls open, of one worker", max(tally.running()), MAX_CALLS),
    ]
    return sorted(parts, key=lambda part: -part.times)


def taken(tally: Tally) -> dict[str, float]:
    """What the load takes of a cluster, if a run costs there what it costs on two cores."""
    runs = sum(tally.lines["fired"])
    hours = tally.seconds / MINUTE / MINUTE
    tasks = sum(line.tasks for line in tally.tenants)
    return {
        "cores": runs / tally.seconds * CPU_S_PER_RUN,
        "cores_busiest_minute": busiest_minute(tally.lines["fired"]) * CPU_S_PER_RUN,
        "workers": ceil(max(tally.running()) / MAX_CALLS),
        "namespaces": ceil(tasks / TASKS_PER_NAMESPACE),
        "database_gb_per_hour": runs / hours * DATABASE_KB_PER_RUN / 1e6,
        "visibility_rows_per_hour": runs / hours,
    }


def _scheduler_starts() -> float:
    """What our dynamic configuration lets the schedules of a namespace start in a second."""
    said = parse_yaml((ROOT / "deploy/temporal/dynamicconfig.yaml").read_text()).data
    return float(said["worker.schedulerNamespaceStartWorkflowRPS"][0]["value"])
