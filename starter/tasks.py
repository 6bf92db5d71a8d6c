"""Registered tasks as people and tools see them: in a list, and one in full."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio.client import Client, ScheduleListDescription

from domain.executions import Progress
from domain.states import RunState
from domain.task import Task
from domain.triggers import zone_of
from shared.calls import at_once
from shared.executions import open_execution
from shared.registry import Key
from shared.schedules import listed_triggers, next_times_of, read_task
from starter.conditions import tag_in
from starter.control import describe_task
from starter.newest import newest_of
from starter.registry import listed
from starter.rpc import temporal_errors
from starter.runs import RunView, list_runs, with_pauses
from starter.times import rfc3339
from workflows import attributes as sa

NEXT_TIMES = 5
RECENT_RUNS = 10
_LATEST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task in a list."""

    tenant_id: str
    task_id: str
    plugin_id: str | None
    paused: bool
    note: str | None
    triggers: list[dict[str, Any]]
    next_times: list[datetime]
    last_status: RunState | None

    def as_json(self) -> dict[str, Any]:
        """The task in the `list` document."""
        return {
            "tenant_id": self.tenant_id,
            "task_id": self.task_id,
            "plugin_id": self.plugin_id,
            "paused": self.paused,
            "note": self.note,
            "triggers": self.triggers,
            "next_times": [rfc3339(at) for at in self.next_times],
            "last_status": self.last_status,
        }


@dataclass(frozen=True, slots=True)
class Attempt:
    """A plugin call under way, or waiting for its time.

    `progress`: what the plugin told, once it has accepted the execution to report on it.
    """

    run_id: str
    attempt: int
    max_attempts: int
    next_at: datetime | None
    last_failure: str | None
    progress: Progress | None

    def as_json(self) -> dict[str, Any]:
        """The attempt in the document of `show`."""
        told = self.progress
        return {
            "run_id": self.run_id,
            "attempt": self.attempt,
            "max_attempts": self.max_attempts,
            "next_at": rfc3339(self.next_at),
            "last_failure": self.last_failure,
            "accepted_at": rfc3339(told.accepted_at) if told else None,
            "progress": told.progress if told else None,
            "message": told.message if told else None,
        }


@dataclass(frozen=True, slots=True)
class TaskDetail:
    """All there is to say of one task. `etag` changes with what the task says."""

    task: Task
    etag: str
    zone: str
    paused: bool
    note: str | None
    next_times: list[datetime]
    fired: int
    skipped_overlap: int
    missed_catchup: int
    created_at: datetime
    updated_at: datetime | None
    runs: list[RunView]
    attempts: list[Attempt]

    def as_json(self) -> dict[str, Any]:
        """The document of `show`."""
        return {
            "task": self.task.model_dump(mode="json"),
            "etag": self.etag,
            "paused": self.paused,
            "note": self.note,
            "next_times": [rfc3339(at) for at in self.next_times],
            "fires": {
                "started": self.fired,
                "skipped_overlap": self.skipped_overlap,
                "missed_catchup": self.missed_catchup,
            },
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
            "runs": [run.as_json() for run in self.runs],
            "attempts": [attempt.as_json() for attempt in self.attempts],
        }


async def list_tasks(client: Client, tenant_id: str | None = None) -> list[TaskView]:
    """Every task (of a tenant), by tenant and id. A change of the last second may not show yet."""
    entries = await listed(client, [tenant_id] if tenant_id else None)
    views = await views_of(client, tenant_id, entries)
    return [views[key] for key in sorted(views)]


async def views_of(
    client: Client, tenant_id: str | None, entries: Mapping[Key, ScheduleListDescription]
) -> dict[Key, TaskView]:
    """Listed schedules (of a tenant) as tasks, in the same order."""
    statuses = await _last_statuses(client, tenant_id, list(entries))
    views: dict[Key, TaskView] = {}

    async def view(key: Key) -> None:
        entry = entries[key]
        state = entry.schedule.state if entry.schedule else None
        triggers = await _triggers(client, entry)
        views[key] = TaskView(
            tenant_id=key[0],
            task_id=key[1],
            plugin_id=entry.typed_search_attributes.get(sa.PLUGIN_ID),
            paused=bool(state and state.paused),
            note=state.note if state else None,
            triggers=triggers,
            next_times=next_times_of(triggers, entry.info.next_action_times if entry.info else ()),
            last_status=statuses.get(key),
        )

    with temporal_errors():
        await at_once(list(entries), view)
    return {key: views[key] for key in entries}


async def _triggers(client: Client, entry: ScheduleListDescription) -> list[dict[str, Any]]:
    if (triggers := listed_triggers(entry)) is not None:
        return triggers
    found = await client.get_schedule_handle(entry.id).describe()
    task = await read_task(client, found.schedule)
    return task.model_dump(mode="json")["triggers"] if task else []


async def _last_statuses(
    client: Client, tenant_id: str | None, keys: list[Key]
) -> dict[Key, RunState]:
    """The status of each task's newest run: from the newest runs of all, then one by one."""
    found: dict[Key, RunState] = {}
    newest = await list_runs(client, tenant_id=tenant_id, limit=_LATEST_RUNS)
    for run in newest:
        found.setdefault((run.tenant_id, run.task_id), run.status)
    if len(newest) < _LATEST_RUNS:
        return found

    async def look_up(key: Key) -> None:
        for run in await list_runs(client, tenant_id=key[0], task_id=key[1], limit=1):
            found[key] = run.status

    await at_once([key for key in keys if key not in found], look_up)
    return found


async def show_task(client: Client, tenant_id: str, task_id: str) -> TaskDetail:
    """One task in full, its newest runs and the attempts of those under way. Errors: `NotFound`."""
    description, task = await describe_task(client, tenant_id, task_id)
    listed_runs = await list_runs(client, tenant_id=tenant_id, task_id=task_id, limit=RECENT_RUNS)
    runs = await with_pauses(client, listed_runs)
    attempts: list[Attempt] = []
    with temporal_errors():
        for run in runs:
            if not run.ended:
                attempts += await _attempts(client, run, task)
    info, state = description.info, description.schedule.state
    triggers = task.model_dump(mode="json")["triggers"]
    return TaskDetail(
        task=task,
        etag=await tag_in(client, description.schedule),
        zone=zone_of(task),
        paused=state.paused,
        note=state.note,
        next_times=next_times_of(triggers, info.next_action_times)[:NEXT_TIMES],
        fired=info.num_actions,
        skipped_overlap=info.num_actions_skipped_overlap,
        missed_catchup=info.num_actions_missed_catchup_window,
        created_at=info.created_at,
        updated_at=info.last_updated_at,
        runs=runs,
        attempts=attempts,
    )


async def _attempts(client: Client, run: RunView, task: Task) -> list[Attempt]:
    """The one under way, or that has its time to come, if there is one just now."""
    description = await client.get_workflow_handle(run.run_id).describe()
    found = await open_execution(client, description)
    if found is None:
        return await _next_attempt(client, run, task)
    return [
        Attempt(
            run_id=run.run_id,
            attempt=found.attempt,
            max_attempts=found.most if found.most > 1 else task.retry.max_attempts,
            next_at=found.due_at,
            last_failure=found.last_failure,
            progress=found.progress if found.accepted else None,
        )
    ]


async def _next_attempt(client: Client, run: RunView, task: Task) -> list[Attempt]:
    if run.status is not RunState.RETRYING or run.held:
        return []
    newest = await newest_of(client, run.run_id, run.temporal_run_id)
    # An attempt that an open circuit puts off is no failed one.
    failed = 0 if (run.waits_for or "").startswith("circuit:") else 1
    return [
        Attempt(
            run_id=run.run_id,
            attempt=run.retry_count + failed + 1,
            max_attempts=task.retry.max_attempts,
            next_at=newest.next_attempt,
            last_failure=None,
            progress=None,
        )
    ]
