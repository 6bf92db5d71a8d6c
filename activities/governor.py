"""What governors have done for them: beginning anew, sweeping, and telling runs."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution as WorkflowExecutionRef
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.service import RPCError

from activities.capacity import CapacityActivities
from activities.heartbeats import heartbeats
from domain.attributes import HOLDING, RESTORE_GOVERNOR, SWEEP_RUNS, TASK_RUN, TELL_RUNS
from domain.capacity import CapacityRelease
from domain.decisions import Request
from domain.governor import Holding, Restore, Restored, Suspect, Sweep, Swept, Tell
from domain.ids import governor_id
from domain.ledger_state import HolderState, LedgerState, RequestState
from domain.limits import TenantLimits, demand_of, is_governed
from domain.packing import pack
from domain.run import TaskRunInput
from shared.calls import at_once, is_missing
from shared.governor import tell
from shared.tenants import read_limits

log = structlog.get_logger(__name__)

SETTLING = timedelta(seconds=5)
"""Temporal's lists lag: runs that the governor before may have admitted show after so long."""
RECENT = timedelta(minutes=2)
"""A governor that ended earlier than this has admitted nobody whom a list does not show by now."""
ASK_SECONDS = 5.0
ASK_TIMES = 6
"""A run that does not say what it holds, though asked so often, is taken to hold all it needs."""


class GovernorActivities:
    """One instance per worker."""

    def __init__(self, client: Client, capacity: CapacityActivities) -> None:
        self._client = client
        self._capacity = capacity

    @activity.defn(name=RESTORE_GOVERNOR)
    async def restore_governor(self, request: Restore) -> Restored:
        """A ledger from the live runs, for a governor that has none. Errors: `RPCError`."""
        async with heartbeats():
            if await self._has_predecessor(request):
                await asyncio.sleep(SETTLING.total_seconds())
            limits = await read_limits(self._client, request.tenant_id) or TenantLimits()
            state = LedgerState(limits=limits)

            async def ask(run_id: str) -> None:
                found = await self._holding_of(run_id)
                if found.request and found.held:
                    since = found.request.asked_at
                    state.holders.append(
                        HolderState(request=found.request, fence=found.fence, since=since)
                    )
                elif found.request:
                    state.waiting.append(found.request)

            await at_once(await self._open_runs(request.tenant_id), ask)
        state.holders.sort(key=lambda holder: holder.request.run_id)
        state.waiting.sort(key=lambda waiter: waiter.run_id)
        log.warning(
            "governor begins anew",
            action="governor_restored",
            tenant_id=request.tenant_id,
            holders=len(state.holders),
            waiting=len(state.waiting),
        )
        return Restored(packed=pack(state.model_dump_json()))

    @activity.defn(name=SWEEP_RUNS)
    async def sweep_runs(self, request: Sweep) -> Swept:
        """Those whose workflow is closed, by a look that does not lag. Errors: `RPCError`."""
        closed: list[str] = []
        async with heartbeats():
            listed = set(await self._open_runs(request.tenant_id))

            async def look(suspect: Suspect) -> None:
                if not await self._is_closed(suspect.run_id):
                    return
                if suspect.reserves:
                    release = CapacityRelease(
                        reservation_id=suspect.run_id,
                        tenant_id=request.tenant_id,
                        task_id=suspect.task_id,
                    )
                    await self._capacity.release_capacity(release)
                closed.append(suspect.run_id)

            await at_once([run for run in request.runs if run.run_id not in listed], look)
        if closed:
            log.warning(
                "runs ended without a word",
                action="runs_swept",
                tenant_id=request.tenant_id,
                runs=sorted(closed)[:20],
                count=len(closed),
            )
        return Swept(closed=sorted(closed))

    @activity.defn(name=TELL_RUNS)
    async def tell_runs(self, request: Tell) -> None:
        """Hints: who does not get one asks again by itself."""
        await tell(self._client, request)

    async def _has_predecessor(self, request: Restore) -> bool:
        """Whether another governor of the tenant ended just now."""
        query = f"WorkflowId = '{governor_id(request.tenant_id)}'"
        async for other in self._client.list_workflows(query, limit=10):
            if other.run_id == request.temporal_run_id:
                continue
            if other.close_time is None or other.close_time > datetime.now(UTC) - RECENT:
                return True
        return False

    async def _open_runs(self, tenant_id: str) -> list[str]:
        query = (
            f"WorkflowType = '{TASK_RUN}' AND TenantId = '{tenant_id}' "
            "AND ExecutionStatus = 'Running'"
        )
        return [run.id async for run in self._client.list_workflows(query, page_size=1000)]

    async def _holding_of(self, run_id: str) -> Holding:
        """What a run says, or if it says nothing, all that it may hold."""
        handle = self._client.get_workflow_handle(run_id)
        for _ in range(ASK_TIMES):
            try:
                found: Holding = await handle.query(
                    HOLDING,
                    result_type=Holding,
                    rpc_timeout=timedelta(seconds=ASK_SECONDS),
                )
            except WorkflowQueryFailedError:
                break  # a run that is older than admission, or cannot go on: see what it may hold
            except RPCError as error:
                if is_missing(error) or await self._is_closed(run_id):
                    return Holding()
                await asyncio.sleep(1)
            else:
                return found
        return await self._presumed(run_id)

    async def _presumed(self, run_id: str) -> Holding:
        log.warning("a run does not say what it holds", action="run_silent", run_id=run_id)
        response = await self._client.workflow_service.get_workflow_execution_history(
            GetWorkflowExecutionHistoryRequest(
                namespace=self._client.namespace,
                execution=WorkflowExecutionRef(workflow_id=run_id),
                maximum_page_size=1,
            )
        )
        started = response.history.events[0].workflow_execution_started_event_attributes
        [given] = await self._client.data_converter.decode(
            list(started.input.payloads), [TaskRunInput]
        )
        if not is_governed(given.task, limited=given.limited):
            return Holding()
        asked = response.history.events[0].event_time.ToDatetime(tzinfo=UTC).timestamp()
        demand = demand_of(given.task, manual=given.manual is not None)
        request = Request(run_id, demand, asked, asked + given.task.queue_timeout.total_seconds())
        return Holding(request=RequestState.of(request), held=True)

    async def _is_closed(self, run_id: str) -> bool:
        try:
            found = await self._client.get_workflow_handle(run_id).describe()
        except RPCError as error:
            if not is_missing(error):
                raise
            return True
        return found.status is not WorkflowExecutionStatus.RUNNING
