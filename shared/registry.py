"""Telling the registry what should exist, and asking it.

Signals need no worker: they wait in Temporal until one takes them up.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from domain.attributes import REGISTRY
from domain.crowd import most_at_once
from domain.ids import registry_id
from domain.registry import (
    Put,
    PutTask,
    Remove,
    SetPaused,
    Snapshot,
    batches,
    pack_task,
    shard_of,
)
from domain.task import Task
from shared.calls import at_once, is_missing, look_at

Key = tuple[str, str]
"""(tenant_id, task_id)."""


def watch_queue(task_queue: str) -> str:
    """The task queue of registries and the watch: a plugin that blocks runs blocks neither."""
    return f"{task_queue}-watch"


def open_registries(tenant_id: str | None = None) -> str:
    """The query of Temporal's list for all registries, or for those of one tenant."""
    query = f"WorkflowType = '{REGISTRY}' AND ExecutionStatus = 'Running'"
    if tenant_id is not None:
        query += f" AND WorkflowId STARTS_WITH '{registry_id(tenant_id, 0)[:-1]}'"
    return query


def put_of(
    task: Task,
    *,
    weight: float,
    digest: str,
    task_queue: str,
    paused: bool = False,
    note: str = "",
) -> tuple[str, PutTask]:
    """What `remember` takes: the tenant, and a task as its schedule carries it."""
    return task.tenant_id, PutTask(
        task_id=task.task_id,
        task=pack_task(task),
        weight=weight,
        digest=digest,
        task_queue=task_queue,
        paused=paused,
        note=note,
        load=most_at_once(task, datetime.now(UTC).date()),
    )


async def remember(client: Client, puts: list[tuple[str, PutTask]]) -> None:
    """These tasks should exist from now on. Errors: `RPCError`.

    Say so before the schedules are written: what a killed command left undone, the watch then does.
    """
    now = datetime.now(UTC)

    async def signal(batch: tuple[str, int, list[PutTask]]) -> None:
        tenant_id, shard, tasks = batch
        await client.start_workflow(
            REGISTRY,
            Snapshot(),
            id=registry_id(tenant_id, shard),
            task_queue=watch_queue(tasks[0].task_queue),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal="put",
            start_signal_args=[Put(at=now, tasks=tasks)],
            static_summary=f"tasks that should exist: {tenant_id}, part {shard}",
        )

    await at_once(batches(puts), signal)


async def forget(client: Client, keys: Iterable[Key]) -> None:
    """These tasks should not exist any more. Errors: `RPCError`.

    Say so before the schedules are deleted: afterwards, the watch could make them again first.
    """
    now = datetime.now(UTC)

    async def signal(part: tuple[str, list[str]]) -> None:
        await _signal(client, part[0], "remove", Remove(at=now, task_ids=part[1]))

    await at_once(_parts(keys), signal)


async def set_paused(client: Client, key: Key, *, paused: bool, note: str) -> None:
    """This task should not fire for now, or fire again. Errors: `RPCError`."""
    batch = SetPaused(at=datetime.now(UTC), task_ids=[key[1]], paused=paused, note=note)
    await _signal(client, registry_id(key[0], shard_of(key[1])), "set_paused", batch)


async def read_shard(
    client: Client, workflow_id: str, *, patience: timedelta | None = None
) -> Snapshot:
    """A shard as it is now; empty when there is none. Needs a worker.

    Errors: `RPCError`, among them that none answers within `patience`.
    """
    found = await look_at(client, workflow_id, "snapshot", Snapshot, patience=patience)
    return found or Snapshot()


async def _signal(client: Client, workflow_id: str, name: str, batch: Remove | SetPaused) -> None:
    try:
        await client.get_workflow_handle(workflow_id).signal(name, batch)
    except RPCError as error:
        if not is_missing(error):  # no registry: then it holds nothing to forget or to pause
            raise


def _parts(keys: Iterable[Key]) -> list[tuple[str, list[str]]]:
    """Task ids by the registry that has them."""
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for tenant_id, task_id in keys:
        parts[registry_id(tenant_id, shard_of(task_id))].append(task_id)
    return list(parts.items())
