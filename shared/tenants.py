"""A tenant's limits: written down in its first registry, read from there without a worker."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution as WorkflowExecutionRef
from temporalio.api.enums.v1 import EventType, PendingWorkflowTaskState
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowHandle,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from domain.attributes import LIMITS_MEMO, REGISTRY
from domain.ids import parse_registry_id, registry_id
from domain.limits import TenantLimits
from domain.registry import LIMITS_SHARD, Configure, Shard, Snapshot
from shared.calls import is_missing
from shared.registry import open_registries, watch_queue

CONFIGURE = "configure"
"""The signal of a registry; pinned."""
LOOKS, LOOK_SECONDS = 40, 0.05
"""A worker that takes a change up needs milliseconds."""

_STARTED = PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


async def write_limits(
    client: Client, tenant_id: str, limits: TenantLimits, *, task_queue: str
) -> TenantLimits:
    """Remember a tenant's limits, for ever; gives them back with their time. Errors: `RPCError`.

    Its governor learns of them by `shared.governor.configure`.
    """
    now = datetime.now(UTC)
    limits = limits.model_copy(update={"changed_at": now})
    await client.start_workflow(
        REGISTRY,
        Snapshot(),
        id=registry_id(tenant_id, LIMITS_SHARD),
        task_queue=watch_queue(task_queue),
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal=CONFIGURE,
        start_signal_args=[Configure(at=now, limits=limits)],
        static_summary=f"tasks that should exist: {tenant_id}, part {LIMITS_SHARD}",
    )
    return limits


async def read_limits(client: Client, tenant_id: str) -> TenantLimits | None:
    """A tenant's limits; None when it has none. Errors: `RPCError`.

    Those that no worker has taken up yet count: who changes some of them must not undo the others.
    """
    try:
        found = await _settled(client.get_workflow_handle(registry_id(tenant_id, LIMITS_SHARD)))
    except RPCError as error:
        if not is_missing(error):
            raise
        return None
    limits = await limits_in(found)
    if not found.raw_description.HasField("pending_workflow_task"):
        return limits
    shard = Shard(Snapshot(limits=limits))
    for change in await _waiting(client, found):
        shard.configure(change)
    return shard.limits


async def all_limits(client: Client) -> dict[str, TenantLimits]:
    """The limits of every tenant that has some, as Temporal's list has them. Errors: `RPCError`."""
    found: dict[str, TenantLimits] = {}
    async for registry in client.list_workflows(open_registries(), page_size=1000):
        parsed = parse_registry_id(registry.id)
        if parsed and parsed[1] == LIMITS_SHARD and (limits := await limits_in(registry)):
            found[parsed[0]] = limits
    return found


async def _settled(handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionDescription:
    """A registry that no worker is at: what comes meanwhile, its history does not show yet."""
    for _ in range(LOOKS):
        found = await handle.describe()
        if found.raw_description.pending_workflow_task.state != _STARTED:
            break
        await asyncio.sleep(LOOK_SECONDS)
    return found  # of a worker that died the history shows enough


async def _waiting(client: Client, registry: WorkflowExecutionDescription) -> list[Configure]:
    """The changes that Temporal keeps for a worker, the first said first."""
    seen = registry.history_length
    found: list[Configure] = []
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace,
        execution=WorkflowExecutionRef(workflow_id=registry.id, run_id=registry.run_id),
        maximum_page_size=20,
    )
    while True:
        page = await client.workflow_service.get_workflow_execution_history_reverse(request)
        for event in page.history.events:
            if event.event_type == _COMPLETED and event.event_id <= seen:
                return found[::-1]
            signal = event.workflow_execution_signaled_event_attributes
            if signal.signal_name == CONFIGURE:
                payloads = list(signal.input.payloads)
                found += await client.data_converter.decode(payloads, [Configure])
        if not page.next_page_token:
            return found[::-1]
        request.next_page_token = page.next_page_token


async def limits_in(registry: WorkflowExecution) -> TenantLimits | None:
    """The limits in the memo of a listed or described registry."""
    limits: TenantLimits | None = await registry.memo_value(
        LIMITS_MEMO, None, type_hint=TenantLimits
    )
    return limits
