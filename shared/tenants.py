"""A tenant's limits: written down in its first registry, read from there without a worker."""

from datetime import UTC, datetime

from temporalio.client import Client, WorkflowExecution
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from domain.attributes import LIMITS_MEMO, REGISTRY
from domain.ids import parse_registry_id, registry_id
from domain.limits import TenantLimits
from domain.registry import LIMITS_SHARD, Configure, Snapshot
from shared.calls import is_missing
from shared.registry import watch_queue


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
        start_signal="configure",
        start_signal_args=[Configure(at=now, limits=limits)],
        static_summary=f"tasks that should exist: {tenant_id}, part {LIMITS_SHARD}",
    )
    return limits


async def read_limits(client: Client, tenant_id: str) -> TenantLimits | None:
    """A tenant's limits as a worker took them up; None when it has none. Errors: `RPCError`."""
    try:
        found = await client.get_workflow_handle(registry_id(tenant_id, LIMITS_SHARD)).describe()
    except RPCError as error:
        if not is_missing(error):
            raise
        return None
    return await limits_in(found)


async def all_limits(client: Client) -> dict[str, TenantLimits]:
    """The limits of every tenant that has some, as Temporal's list has them. Errors: `RPCError`."""
    found: dict[str, TenantLimits] = {}
    query = f"WorkflowType = '{REGISTRY}' AND ExecutionStatus = 'Running'"
    async for registry in client.list_workflows(query, page_size=1000):
        parsed = parse_registry_id(registry.id)
        if parsed and parsed[1] == LIMITS_SHARD and (limits := await limits_in(registry)):
            found[parsed[0]] = limits
    return found


async def limits_in(registry: WorkflowExecution) -> TenantLimits | None:
    """The limits in the memo of a listed or described registry."""
    limits: TenantLimits | None = await registry.memo_value(
        LIMITS_MEMO, None, type_hint=TenantLimits
    )
    return limits
