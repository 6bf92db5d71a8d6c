"""The registry's workflow: no signal is lost, however many come while it goes on as new."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import Client, Interceptor, OutboundInterceptor, QueryWorkflowInput

from domain.ids import registry_id
from domain.registry import SHARDS, Snapshot, shard_of
from domain.task import Task
from shared.calls import at_once
from shared.registry import forget, put_of, read_shard, remember, set_paused
from tests.conftest import task_of
from tests.starter.harness import eventually_async
from tests.watch.harness import Watched


def tasks(tenant: str, count: int) -> list[Task]:
    """So many tasks of a tenant."""
    return [task_of(tenant_id=tenant, task_id=f"t{number}") for number in range(count)]


async def snapshots(client: Client, tenant: str) -> list[Snapshot]:
    """Every shard of a tenant."""
    return [await read_shard(client, registry_id(tenant, shard)) for shard in range(SHARDS)]


async def test_signals_survive_continue_as_new(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task put, paused or removed by a signal of its own is as the last one said."""
    monkeypatch.setattr("workflows.registry.SIGNALS_PER_RUN", 3)
    tenant = "many-signals"
    given = tasks(tenant, 120)

    async def one(task: Task) -> None:
        put = put_of(task, weight=2.0, digest="d", task_queue=watched.settings.task_queue)
        await remember(watched.client, [put])
        number = int(task.task_id[1:])
        if number % 3 == 1:
            await forget(watched.client, [(tenant, task.task_id)])
        elif number % 3 == 2:
            key = (tenant, task.task_id)
            await set_paused(watched.client, key, paused=True, note=task.task_id)

    await at_once(given, one)
    found = await snapshots(watched.client, tenant)
    entries = {name: entry for shard in found for name, entry in shard.entries.items()}
    assert entries.keys() == {f"t{n}" for n in range(120) if n % 3 != 1}
    assert {name for name, entry in entries.items() if entry.paused} == {
        f"t{n}" for n in range(120) if n % 3 == 2
    }
    assert all(entry.note == name for name, entry in entries.items() if entry.paused)
    assert {name for shard in found for name in shard.removed} == {
        f"t{n}" for n in range(120) if n % 3 == 1
    }
    runs = watched.client.list_workflows(
        f"WorkflowType = 'Registry' AND ExecutionStatus = 'ContinuedAsNew' "
        f"AND WorkflowId STARTS_WITH 'registry/{tenant}/'"
    )
    assert [run.id async for run in runs], "at least one went on as new"
    await forget(watched.client, [(tenant, task.task_id) for task in given])


class MeetsTheRunBefore(Interceptor):
    """A client's first query arrives in the moment in which its workflow goes on as a new run."""

    def __init__(self, run_id: str) -> None:
        self.asks: list[str | None] = [None, run_id]

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        """Look at the queries of a client."""
        asks = self.asks

        class Outbound(OutboundInterceptor):
            async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002
                return await super().query_workflow(replace(input, run_id=asks.pop()))

        return Outbound(next)


async def test_who_asks_while_it_goes_on_as_new_is_answered_by_the_run_after(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that has gone on rejects the question, which does not mean that there is none."""
    monkeypatch.setattr("workflows.registry.SIGNALS_PER_RUN", 3)
    [task] = tasks("goes-on", 1)
    put = put_of(task, weight=1.0, digest="d", task_queue=watched.settings.task_queue)
    await remember(watched.client, [put])
    workflow_id = registry_id("goes-on", shard_of(task.task_id))
    handle = watched.client.get_workflow_handle(workflow_id)
    first = (await handle.describe()).run_id
    for _ in range(3):
        await remember(watched.client, [put])

    async def has_gone_on() -> bool:
        return (await handle.describe()).run_id != first

    await eventually_async(has_gone_on)
    late = MeetsTheRunBefore(first)
    client = Client(**(watched.client.config() | {"interceptors": [late]}))
    assert (await read_shard(client, workflow_id)).entries.keys() == {task.task_id}
    assert not late.asks, "it was asked twice"
    await handle.terminate()
    assert await read_shard(watched.client, workflow_id) == Snapshot()


async def test_a_shard_holds_its_own_tasks_whole(watched: Watched) -> None:
    """What comes out of a shard is the task that went in, in the shard that its name has."""
    [task] = tasks("whole", 1)
    put = put_of(task, weight=0.5, digest="d", task_queue=watched.settings.task_queue)
    before = datetime.now(UTC)
    await remember(watched.client, [put])
    shard = await read_shard(watched.client, registry_id("whole", shard_of(task.task_id)))
    entry = shard.entries[task.task_id]
    assert (entry.task, entry.weight, entry.paused) == (put[1].task, 0.5, False)
    assert before <= entry.stretches[0].since <= datetime.now(UTC)
    await forget(watched.client, [("whole", task.task_id)])


async def test_nothing_to_forget_is_no_error(watched: Watched) -> None:
    """A tenant without a registry needs none for being told to forget or to pause."""
    await forget(watched.client, [("nobody", "t")])
    await set_paused(watched.client, ("nobody", "t"), paused=True, note="")
    assert await read_shard(watched.client, registry_id("nobody", shard_of("t"))) == Snapshot()
