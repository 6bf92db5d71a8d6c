"""Talking to tenants' governors: what the runs of one process ask goes in batches.

Temporal lets ten updates of a workflow be under way at once. So this process has one under way for
each tenant, and whoever asks meanwhile goes with the next: batches grow when a governor is busy.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from domain.attributes import GOVERNOR, NUDGE, STOP
from domain.governor import (
    Answer,
    Exchange,
    Exchanged,
    GovernorStart,
    GovernorView,
    Releases,
    SetLimits,
    Tell,
)
from domain.ids import governor_id
from domain.ledger_state import RequestState
from domain.limits import TenantLimits
from shared.calls import at_once, is_missing, look_at

log = structlog.get_logger(__name__)

MOST_ASKS = 200
"""Of one batch: an update's payload stays below 100 kB."""
RETRY_SECONDS = 0.2
PAUSE_SECONDS = 0.03
"""Between two batches to one governor: what comes meanwhile shares the cost of the next."""


class GovernorUnavailable(Exception):  # noqa: N818 - reads as what happened
    """The tenant's governor did not answer in time; its answer may still come to be so."""


def governor_queue(task_queue: str) -> str:
    """The task queue of governors: a run that waits for one holds no slot that it needs."""
    return f"{task_queue}-governor"


@dataclass(slots=True)
class _Line:
    """What waits to be said to one governor."""

    asks: list[tuple[RequestState, asyncio.Future[Answer]]] = field(default_factory=list)
    releases: list[tuple[str, asyncio.Future[None]]] = field(default_factory=list)
    sender: asyncio.Task[None] | None = None


class Governors:
    """The governors of all tenants; one instance for a process, used from one event loop."""

    def __init__(self, client: Client, task_queue: str, *, patience: float = 3.0) -> None:
        """`patience` in seconds, for an answer."""
        self._client = client
        self._queue = governor_queue(task_queue)
        self._patience = patience
        self._lines: dict[str, _Line] = {}
        self._telling: set[asyncio.Task[None]] = set()

    async def ask(self, tenant_id: str, request: RequestState) -> Answer:
        """What the tenant's governor answers. Errors: `GovernorUnavailable`."""
        line = self._lines.setdefault(tenant_id, _Line())
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        line.asks.append((request, answer))
        self._start(tenant_id, line)
        return await answer

    async def release(self, tenant_id: str, run_id: str) -> None:
        """This run holds and wants nothing any more. Errors: `RPCError`.

        When the governor does not answer, a signal waits for it in Temporal.
        """
        line = self._lines.setdefault(tenant_id, _Line())
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.releases.append((run_id, done))
        self._start(tenant_id, line)
        try:
            await done
        except GovernorUnavailable:
            handle = self._client.get_workflow_handle(governor_id(tenant_id))
            try:
                await handle.signal("release", Releases(run_ids=[run_id]))
            except RPCError as error:
                if not is_missing(error):  # no governor: then it holds nothing
                    raise

    async def close(self) -> None:
        """Stop saying anything; who waits for an answer is told that there is none."""
        tasks = [line.sender for line in self._lines.values() if line.sender]
        for task in [*tasks, *self._telling]:
            task.cancel()
        await asyncio.gather(*tasks, *self._telling, return_exceptions=True)

    def _start(self, tenant_id: str, line: _Line) -> None:
        if line.sender is None:
            line.sender = asyncio.create_task(self._send_all(tenant_id, line))

    async def _send_all(self, tenant_id: str, line: _Line) -> None:
        try:
            while line.asks or line.releases:
                await self._send(tenant_id, line)
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            line.sender = None
            _nobody_decides(GovernorUnavailable("stopped"), [*line.asks, *line.releases])
            line.asks, line.releases = [], []

    async def _send(self, tenant_id: str, line: _Line) -> None:
        """One batch, and its answers to whom they are for."""
        asks, line.asks = line.asks[:MOST_ASKS], line.asks[MOST_ASKS:]
        releases, line.releases = line.releases, []
        # Whoever gave up asking is not asked for: its grant would be nobody's.
        asks = [ask for ask in asks if not ask[1].cancelled()]
        exchange = Exchange(
            asks=[ask for ask, _ in asks], releases=[run_id for run_id, _ in releases]
        )
        try:
            told = await self._exchange(tenant_id, exchange)
        except BaseException as error:
            _nobody_decides(error, [*asks, *releases])
            if isinstance(error, asyncio.CancelledError):
                raise
            if not isinstance(error, GovernorUnavailable):
                log.exception("governor", action="governor_failed", tenant_id=tenant_id)
            return
        for (_, asked), answer in zip(asks, told.answers, strict=True):
            if not asked.done():
                asked.set_result(answer)
        for _, done in releases:
            if not done.done():
                done.set_result(None)
        if told.wake or told.stop:
            self._background(tell(self._client, Tell(wake=told.wake, stop=told.stop)))

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _exchange(self, tenant_id: str, exchange: Exchange) -> Exchanged:
        """One update, again while there is patience. Errors: `GovernorUnavailable`."""
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    try:
                        return await self._update(tenant_id, exchange)
                    except (RPCError, WorkflowUpdateFailedError) as error:
                        # The governor has just gone on as a new run, or the server is busy.
                        log.debug("governor", action="governor_retry", reason=str(error))
                    await asyncio.sleep(RETRY_SECONDS)
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            text = f"the governor of {tenant_id} did not answer within {self._patience:g} s"
            raise GovernorUnavailable(text) from error

    async def _update(self, tenant_id: str, exchange: Exchange) -> Exchanged:
        limit = timedelta(seconds=self._patience)
        try:
            handle = self._client.get_workflow_handle(governor_id(tenant_id))
            told: Exchanged = await handle.execute_update(
                "exchange", exchange, result_type=Exchanged, rpc_timeout=limit
            )
        except RPCError as error:
            if not is_missing(error):
                raise
        else:
            return told
        start: WithStartWorkflowOperation[Any, None] = WithStartWorkflowOperation(
            GOVERNOR,
            GovernorStart(tenant_id=tenant_id),
            id=governor_id(tenant_id),
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=summary_of(tenant_id),
        )
        told = await self._client.execute_update_with_start_workflow(
            "exchange",
            exchange,
            start_workflow_operation=start,
            result_type=Exchanged,
            rpc_timeout=limit,
        )
        return told  # noqa: RET504 - the SDK does not type a result that is named by string


async def configure(
    client: Client, tenant_id: str, limits: TenantLimits, *, task_queue: str
) -> None:
    """Tell a tenant's governor its limits, and start one if there is none. Errors: `RPCError`."""
    await client.start_workflow(
        GOVERNOR,
        GovernorStart(tenant_id=tenant_id),
        id=governor_id(tenant_id),
        task_queue=governor_queue(task_queue),
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="configure",
        start_signal_args=[SetLimits(limits=limits)],
        static_summary=summary_of(tenant_id),
    )


async def view_governor(
    client: Client, tenant_id: str, *, patience: float = 5.0
) -> GovernorView | None:
    """A governor's books as they are now; None when the tenant has no governor. Needs a worker.

    Errors: `RPCError`, among them that none answers in time.
    """
    limit = timedelta(seconds=patience)
    return await look_at(client, governor_id(tenant_id), "view", GovernorView, patience=limit)


async def tell(client: Client, message: Tell) -> None:
    """Have runs ask again, and stop those that a newer run replaces; failures are only logged."""

    async def wake(run_id: str) -> None:
        try:
            await client.get_workflow_handle(run_id).signal(NUDGE)
        except RPCError as error:
            _not_told(run_id, error)

    async def stop(pair: tuple[str, str]) -> None:
        handle = client.get_workflow_handle(pair[0])
        try:
            await handle.signal(STOP, pair[1])
            await handle.cancel()
        except RPCError as error:
            _not_told(pair[0], error)

    await at_once(message.wake, wake)
    await at_once(message.stop, stop)


def summary_of(tenant_id: str) -> str:
    """One line for Temporal's lists."""
    return f"admission of {tenant_id}"


def _nobody_decides(
    error: BaseException, futures: Iterable[tuple[Any, asyncio.Future[Any]]]
) -> None:
    reason = GovernorUnavailable(str(error) or type(error).__name__)
    for _, future in futures:
        if not future.done():
            future.set_exception(reason)


def _not_told(run_id: str, error: RPCError) -> None:
    """It has ended, or asks again by itself."""
    if not is_missing(error):
        log.warning("not told", action="run_not_told", run_id=run_id, reason=str(error))
