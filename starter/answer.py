"""The answer of `why`, and what is known when it is asked for."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from temporalio.client import Client, ScheduleDescription

from domain.run import TaskRunInput
from domain.task import Task
from domain.triggers import zone_of
from starter.times import both, rfc3339


@dataclass(slots=True)
class Why:
    """An answer: a verdict in a word, and the sentences that explain it.

    Verdicts, by what there is of the fire:

    a run under way
        `waiting` for quota, a mutex group, an earlier run of its task, or capacity; `put_off` by a
        blackout; `paused` by a person; `running`, `retrying`, `compensating`; `pending`: no worker
        has taken it up
    a run that has ended
        `success`, `failed`, `compensated`, `skipped`, `cancelled`, `missed`: its end state
    no run, in the past
        `not_expected`: the task was paused, registered later, or had other triggers; `due`: just
        now; `not_made`: a run should be there and is not; `skipped` or `missed`: the watch counted
        it in the record of another fire; `beyond_retention`: Temporal would have dropped it by now
    a fire to come
        `will_run`, `will_wait`, `will_skip`, `will_fail`: as the forecast has it; `put_off` by a
        blackout; `paused`; `on_event`: no trigger is a time, and the next run is that of an event
    no fire
        `no_fire`: no trigger fires at this time; `never`: none ever fires again

    `at`: the nominal time. `zone`: what the sentences show times in, beside UTC. `holder`: the run
    that a waiting run waits for; `position`: in its tenant's queue, from 1. `expected_start`: of a
    run that waits, for its next attempt too, or of a fire to come; None where it never starts or
    nobody can tell.
    """

    tenant_id: str
    task_id: str
    zone: str
    verdict: str
    at: datetime | None = None
    run_id: str | None = None
    because: list[str] = field(default_factory=list)
    holder: str | None = None
    position: int | None = None
    expected_start: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """The document of `why`; what does not apply is null."""
        return {
            "tenant_id": self.tenant_id,
            "task_id": self.task_id,
            "at": rfc3339(self.at),
            "timezone": self.zone,
            "run_id": self.run_id,
            "verdict": self.verdict,
            "because": self.because,
            "holder": self.holder,
            "position": self.position,
            "expected_start": rfc3339(self.expected_start),
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """A task as it is registered, its namespace, and when it is asked about."""

    client: Client
    description: ScheduleDescription
    request: TaskRunInput
    task_queue: str
    seed: str | None
    retention: timedelta
    now: datetime

    @property
    def task(self) -> Task:
        """The task asked about."""
        return self.request.task

    def answer(self, verdict: str, at: datetime | None, *because: str) -> Why:
        """The beginning of an answer."""
        task = self.task
        return Why(task.tenant_id, task.task_id, zone_of(task), verdict, at, because=list(because))

    def clock(self, at: datetime) -> str:
        """A time in a sentence, to the second: in the task's zone and in UTC."""
        return both(at.replace(microsecond=0), zone_of(self.task))
