"""Stories to be recorded of routines, of what keeps an answer, and of what was not covered yet."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from temporalio import activity

from domain.answered import Answer
from domain.attributes import ANSWERED, CANARY, FORECAST, PROBE, REGISTRY
from domain.ids import answered_id, registry_id
from domain.limits import TenantLimits
from domain.registry import Configure, Snapshot
from shared.registry import watch_queue
from shared.tenants import CONFIGURE
from tests.recovery import stories
from tests.workflows.harness import Handle, Runs, ended
from worker.build import new_worker
from workflows.answered import Answered
from workflows.canary import Canary


async def _forecast(runs: Runs) -> Handle:
    """The first look: nothing was foreseen before."""
    return await runs.client.start_workflow(
        FORECAST, id="forecast", task_queue=watch_queue(runs.queue)
    )


async def _answered(runs: Runs) -> Handle:
    queue = f"{runs.queue}-answered"
    kept = Answer(request="0a1b", status=201, body="")
    async with new_worker(runs.client, task_queue=queue, workflows=[Answered], activities=[]):
        handle = await runs.client.start_workflow(
            ANSWERED, kept, id=answered_id("acme", "key-1"), task_queue=queue
        )
        await ended(handle)
    return handle


@activity.defn(name=PROBE)
async def _probe() -> None:
    """The way is open."""


async def _canary(runs: Runs) -> Handle:
    queue = f"{runs.queue}-canary"
    async with new_worker(runs.client, task_queue=queue, workflows=[Canary], activities=[_probe]):
        handle = await runs.client.start_workflow(CANARY, id="canary", task_queue=queue)
        await ended(handle)
    return handle


async def _registry_configured(runs: Runs) -> Handle:
    """Is told what the tenant's runs may hold."""
    at = datetime(2026, 11, 23, 2, tzinfo=UTC)
    handle = await runs.client.start_workflow(
        REGISTRY,
        Snapshot(),
        id=registry_id("acme", 2),
        task_queue=watch_queue(runs.queue),
        start_signal=CONFIGURE,
        start_signal_args=[Configure(at=at, limits=TenantLimits(changed_at=at))],
    )
    await handle.query("snapshot")
    await handle.terminate()
    return handle


async def _work_order_resolved(runs: Runs) -> Handle:
    return await stories.work_order_resolved_story(runs.client)


ROUTINE_STORIES: dict[str, Callable[[Runs], Awaitable[Handle]]] = {
    "forecast": _forecast,
    "answered": _answered,
    "canary": _canary,
    "registry_configured": _registry_configured,
    "work_order_resolved": _work_order_resolved,
}
