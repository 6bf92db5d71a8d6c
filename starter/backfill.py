"""Running fires of the past that have no run: after an outage, or for a task that is new."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from temporalio.client import Client, ScheduleActionStartWorkflow, WorkflowFailureError
from temporalio.service import RPCError

from domain.due import Due, due_times
from domain.ids import scheduled_run_id
from domain.run import Finding
from domain.task import Overlap, Task
from shared.calls import Pace, at_once, is_missing
from shared.errors import Refused
from shared.fires import Place, start_fire
from shared.schedules import namespace_id_of, seed_of
from starter.control import describe_request
from starter.rpc import temporal_errors
from starter.times import rfc3339

MOST_FIRES = 10_000
PER_SECOND = 20.0
Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Backfill:
    """The fires between two times: those that have a run already, and those that have none."""

    task: Task
    place: Place
    present: list[Due]
    absent: list[Due]

    def as_json(self, *, dry_run: bool) -> dict[str, Any]:
        """The document of `backfill`."""
        return {
            "dry_run": dry_run,
            "present": [self._as_json(due) for due in self.present],
            "started": [] if dry_run else [self._as_json(due) for due in self.absent],
            "to_start": [self._as_json(due) for due in self.absent] if dry_run else [],
        }

    def _as_json(self, due: Due) -> dict[str, Any]:
        return {"run_id": self.run_id(due), "nominal_time": rfc3339(due.nominal_time)}

    def run_id(self, due: Due) -> str:
        """The id of a fire's run, whoever starts it."""
        return scheduled_run_id(self.task.tenant_id, self.task.task_id, due.scheduled_time)


async def find_fires(
    client: Client, tenant_id: str, task_id: str, *, start: datetime, end: datetime
) -> Backfill:
    """The fires with a nominal time from `start` up to `end`, both included.

    Errors: `NotFound`; `Refused` for an end in the future or before the start, and for more than
    `MOST_FIRES` fires.
    """
    if end > datetime.now(UTC):
        raise Refused("a backfill ends in the past: fires to come run by themselves")
    if end < start:
        raise Refused("a backfill ends after it starts: --to is before --from")
    description, request = await describe_request(client, tenant_id, task_id)
    task, action = request.task, description.schedule.action
    if not isinstance(action, ScheduleActionStartWorkflow):
        raise Refused(f"the schedule {description.id} starts no run: apply the task's file again")
    with temporal_errors():
        seed = seed_of(task, await namespace_id_of(client)) if task.jitter else None
    fires = list(islice(_between(task, start, end, seed), MOST_FIRES + 1))
    if len(fires) > MOST_FIRES:
        raise Refused(f"more than {MOST_FIRES} fires: choose a shorter time")
    found = Backfill(task, Place(action.task_queue, action.priority, seed, request.limited), [], [])
    present: set[datetime] = set()

    async def look(due: Due) -> None:
        try:
            await client.get_workflow_handle(found.run_id(due)).describe()
        except RPCError as error:
            if not is_missing(error):
                raise
        else:
            present.add(due.scheduled_time)

    with temporal_errors():
        await at_once(fires, look)
    for due in fires:
        (found.present if due.scheduled_time in present else found.absent).append(due)
    return found


async def run_fires(
    client: Client,
    backfill: Backfill,
    *,
    who: str,
    per_second: float = PER_SECOND,
    advance: Advance = lambda: None,
) -> None:
    """Start what is absent, oldest first, at most `per_second`; doing it again starts the rest.

    A task with `overlap: skip` has each run end before the next one starts.
    """
    pace = Pace(per_second)
    reason = f"backfilled by {who}"
    with temporal_errors():
        for due in backfill.absent:
            await pace.wait()
            finding = Finding(scheduled_time=due.scheduled_time, reason=reason)
            await start_fire(client, backfill.task, finding, backfill.place, {})
            if backfill.task.overlap is Overlap.SKIP:
                await _ended(client, backfill.run_id(due))
            advance()


async def _ended(client: Client, run_id: str) -> None:
    try:
        await client.get_workflow_handle(run_id).result()
    except WorkflowFailureError:
        return  # how it ended is told by `taskflow runs`


def _between(task: Task, start: datetime, end: datetime, seed: str | None) -> Iterator[Due]:
    """Fires by their nominal times; the stream goes by scheduled times, which a stagger moves."""
    wide = due_times(
        task, after=start - timedelta(seconds=1), until=end + task.stagger + task.spread, seed=seed
    )
    return (due for due in wide if start <= due.nominal_time <= end)
