"""From a real run that fails to its work order, and back, on workers as the product builds them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from domain.attributes import TASK_RUN
from domain.ids import manual_run_id
from domain.notices import BreachKind, breach_id_of
from domain.run import ManualFire, TaskRunInput, TaskRunResult
from domain.task import Task
from domain.work_orders import Act, OrderState, WorkOrderView
from sandbox.client import SandboxClient
from shared.settings import Settings
from tests.recovery.harness import INCIDENT, Recovery
from tests.starter.harness import eventually_async
from worker.main import build_worker, shared_parts
from worker.plugins import build_plugin_worker
from worker.recovery import build_recovery_worker
from workflows import attributes as sa


@pytest.fixture
async def product(
    idle: Recovery, plugin_url: str, plugin: SandboxClient
) -> AsyncIterator[Recovery]:
    """Runs, plugin calls, notices and work orders."""
    settings = Settings(
        task_queue=idle.queue, plugin_url=plugin_url, notifications_url=idle.server.url
    )
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(shared_parts(idle.client, settings))
        for build in (build_recovery_worker, build_worker, build_plugin_worker):
            await stack.enter_async_context(build(parts))
        yield idle


async def run(product: Recovery, task: Task, key: str, payload: Any = None) -> str:
    """A run of the task, ended in whatever way; its id."""
    handle = await product.client.start_workflow(
        TASK_RUN,
        TaskRunInput(task=task, manual=ManualFire(at=datetime.now(UTC), payload=payload)),
        id=manual_run_id(task.tenant_id, task.task_id, key),
        task_queue=product.queue,
        result_type=TaskRunResult,
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(sa.TENANT_ID, task.tenant_id),
                SearchAttributePair(sa.TASK_ID, task.task_id),
            ]
        ),
    )
    with suppress(WorkflowFailureError):
        await handle.result()
    return handle.id


async def test_a_failed_run_is_told_retried_and_resolved(
    product: Recovery, plugin: SandboxClient
) -> None:
    """The plugin fails until it is mended; the retry has the payload of the run before."""
    task = product.task(
        plugin_id=product.tenant,
        retry={"max_attempts": 2, "initial_interval": "100ms"},
        work_order="on_failure",
    )
    await plugin.configure(product.tenant, script=["fail:BROKEN"])
    run_id = await run(product, task, "1", {"day": 3})
    await product.ended(breach_id_of(run_id, BreachKind.FAILED))
    order = product.order(run_id)
    view = await order.view()
    assert (view.status, view.error_code, view.external_id) == (
        OrderState.OPEN,
        "BROKEN",
        INCIDENT,
    )
    assert [attempt.attempt for attempt in view.attempts] == [1, 2]

    again = (await order.act(Act.RETRY)).retry_run_id
    assert again

    async def is_open() -> bool:
        return (await order.view()).status is OrderState.OPEN

    await eventually_async(is_open)
    await product.ended(breach_id_of(again, BreachKind.FAILED))
    view = await order.view()
    assert len(view.attempts) == 4
    assert [breach.run_id for breach in view.breaches] == [run_id, again]

    await plugin.configure(product.tenant, script=["ok"])
    await order.act(Act.RETRY)
    done = WorkOrderView.model_validate(await order.handle.result())
    assert done.status is OrderState.RESOLVED
    assert [one.status for one in done.retries] == ["FAILED", "SUCCESS"]
    told = {request.headers["idempotency-key"] for request in product.sent()}
    assert told == {breach_id_of(one, BreachKind.FAILED) for one in (run_id, again)}
    deliveries = await plugin.deliveries(plugin_id=product.tenant)
    assert len(deliveries) == 5


async def test_runs_that_are_late_three_times_are_a_streak(
    product: Recovery, plugin: SandboxClient
) -> None:
    """Each breach is told, and the third time that it happens again and again."""
    task = product.task(
        plugin_id=product.tenant,
        sla={
            "start_within": "500ms",
            "finish_within": "1s",
            "warn_at": 0.5,
            "on_breach": "notify",
            "severity": "high",
        },
    )
    await plugin.configure(product.tenant, script=["slow:1.5"])
    for key in ("1", "2", "3"):
        await run(product, task, key)
    streak = f"consecutive/{product.tenant}/{task.task_id}/first"

    async def told() -> bool:
        return bool(product.sent(streak))

    await eventually_async(told)
    [request] = product.sent(streak)
    assert (request.body["kind"], request.body["severity"]) == ("CONSECUTIVE", "high")
    finishes = [r for r in product.sent() if r.body["kind"] == "FINISH"]
    assert len(finishes) == 3


async def test_a_service_that_loses_its_answers_tells_each_breach_once(
    idle: Recovery, plugin_url: str, plugin: SandboxClient
) -> None:
    """It did its work before the answer was lost; what it answers later is the same."""
    notices = [idle.notice(idle.task(), kind) for kind in (BreachKind.FAILED, BreachKind.FINISH)]
    await plugin.configure_notifications(script=["drop", "ok"])
    settings = Settings(task_queue=idle.queue, notifications_url=plugin_url)
    async with shared_parts(idle.client, settings) as parts, build_recovery_worker(parts):
        for notice in notices:
            told = await idle.told(notice)
            view = await idle.order(notice.breach.run_id).view()
            assert view.external_id == told.work_order_id
    found = await plugin.notifications()
    assert {one.breach_id: one.received for one in found.notifications} == {
        notice.breach.breach_id: 2 for notice in notices
    }
