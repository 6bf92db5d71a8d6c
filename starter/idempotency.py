"""The same request twice under one key: the work is done once, and answered twice alike."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from domain.answered import Answer
from domain.attributes import ANSWERED
from domain.ids import answered_id, recovery_queue
from shared.calls import is_missing
from shared.errors import Conflict, Refused
from starter.rpc import temporal_errors
from starter.turns import Turns

LATE_SECONDS = 0.5
"""After so long another process that did the work at the same time has told what came of it."""
TAKEN_UP_WITHIN = timedelta(days=1)
"""What no worker has taken up by then ends by itself, and is kept as long as what has ended."""

_TURNS = Turns()


class KeyReused(Conflict):
    """The key came with another request before."""

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key came with another request before: take a new key",
            "IDEMPOTENCY_KEY_REUSED",
        )


async def answer_once(
    client: Client,
    tenant_id: str,
    key: str,
    request: str,
    work: Callable[[], Awaitable[Answer]],
    *,
    task_queue: str,
    turns: Turns = _TURNS,
) -> tuple[Answer, bool]:
    """The answer to the request with this digest, and whether it had been given before.

    `work` must be safe to do twice: two processes may be at it at once, and one that dies before
    its answer is kept is followed by one that does it again. The answer that is kept first is given
    by both. What `work` raises is not kept, as nothing was changed. `turns`: those of this process.
    Errors: those of `work`, `KeyReused`, `TemporalUnreachable`.
    """
    workflow_id = answered_id(tenant_id, key)
    async with turns.of(workflow_id):
        if kept := await _kept(client, workflow_id, request):
            return kept, True
        try:
            answer = await work()
        except Refused:
            # Two deletes at once: the second finds nothing, and is answered as the first.
            await asyncio.sleep(LATE_SECONDS)
            if kept := await _kept(client, workflow_id, request):
                return kept, True
            raise
        if await _keep(client, workflow_id, answer, task_queue):
            return answer, False
        return await _kept(client, workflow_id, request) or answer, True


async def _kept(client: Client, workflow_id: str, request: str) -> Answer | None:
    """What is kept under the key, for this request. Errors: `KeyReused`."""
    handle = client.get_workflow_handle(workflow_id)
    with temporal_errors():
        try:
            first = await anext(handle.fetch_history_events(page_size=1))
        except RPCError as error:
            if not is_missing(error):
                raise
            return None
    started = first.workflow_execution_started_event_attributes
    answer: Answer
    [answer] = await client.data_converter.decode(started.input.payloads, [Answer])
    if answer.request != request:
        raise KeyReused
    return answer


async def _keep(client: Client, workflow_id: str, answer: Answer, task_queue: str) -> bool:
    """False when there is an answer under this key already."""
    with temporal_errors():
        try:
            await client.start_workflow(
                ANSWERED,
                answer,
                id=workflow_id,
                task_queue=recovery_queue(task_queue),
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                execution_timeout=TAKEN_UP_WITHIN,
            )
        except WorkflowAlreadyStartedError:
            return False
    return True
