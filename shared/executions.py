"""The call of a plugin that a run waits for, as Temporal shows it from outside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import AsyncActivityHandle, Client, WorkflowExecutionDescription
from temporalio.exceptions import FailureError

from domain.attributes import EXECUTE_PLUGIN
from domain.executions import Progress
from domain.references import secrets_in
from domain.run import ExecuteInput

_PAGE = 50
_MOST_PAGES = 20


@dataclass(frozen=True, slots=True)
class OpenExecution:
    """One attempt that has neither ended nor been given up.

    `progress` is what was stored of it: with `accepted`, the plugin works on by itself.
    `started_at`: when a worker took it up, None of one that is still to begin, at `due_at`.
    `most`: how many attempts Temporal makes of it, 1 where the run counts them; `last_failure`:
    how the one before failed, as far as Temporal knows. `secrets`: the names of those that the
    plugin was given, as far as they were read.
    """

    run_id: str
    temporal_run_id: str
    activity_id: str
    attempt: int
    compensates: bool
    progress: Progress | None
    cancel_requested: bool
    started_at: datetime | None
    due_at: datetime | None
    most: int
    last_failure: str | None
    secrets: frozenset[str] = frozenset()

    @property
    def accepted(self) -> bool:
        """Whether the plugin is known to have taken it over."""
        return self.progress is not None and self.progress.accepted

    def handle(self, client: Client) -> AsyncActivityHandle:
        """What ends this attempt, and no other: the workflow has an activity for each.

        Of runs whose attempts Temporal counts, it is the attempt that is open then.
        """
        return client.get_async_activity_handle(
            workflow_id=self.run_id, run_id=self.temporal_run_id, activity_id=self.activity_id
        )


async def open_execution(
    client: Client, description: WorkflowExecutionDescription, *, sure: bool = True
) -> OpenExecution | None:
    """The open call of a described run, None when there is none just now.

    The number of an attempt of which nothing is stored yet stands in the run's history: only when
    `sure` is that read. Errors: `RPCError`.
    """
    for pending in description.raw_description.pending_activities:
        if pending.activity_type.name == EXECUTE_PLUGIN:
            found = await _read(client, description, pending)
            return await _numbered(client, found) if sure and not found.progress else found
    return None


async def _read(
    client: Client, description: WorkflowExecutionDescription, pending: PendingActivityInfo
) -> OpenExecution:
    progress = await _progress(client, pending.heartbeat_details.payloads)
    by_temporal = pending.attempt > 1
    if progress and by_temporal and progress.attempt != pending.attempt:
        progress = None  # of the attempt before: Temporal hands details on
    states = PendingActivityState
    return OpenExecution(
        run_id=description.id,
        temporal_run_id=description.run_id,
        activity_id=pending.activity_id,
        attempt=progress.attempt if progress else pending.attempt,
        compensates=bool(progress and progress.compensates),
        progress=progress,
        cancel_requested=pending.state == states.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
        started_at=None
        if pending.state == states.PENDING_ACTIVITY_STATE_SCHEDULED
        else _time(pending, "last_started_time"),
        due_at=_time(pending, "scheduled_time"),
        most=pending.maximum_attempts,
        last_failure=await _message(client, pending.last_failure),
        secrets=frozenset(progress.secrets if progress else ()),
    )


def _time(
    pending: PendingActivityInfo, name: Literal["last_started_time", "scheduled_time"]
) -> datetime | None:
    at: Timestamp = getattr(pending, name)
    return at.ToDatetime(tzinfo=UTC) if pending.HasField(name) else None


async def _progress(client: Client, payloads: Sequence[Payload]) -> Progress | None:
    """What the newest heartbeat said; nothing, also when it is not of ours."""
    if not payloads:
        return None
    try:
        found: list[Progress | None] = await client.data_converter.decode(payloads[:1], [Progress])
    except (ValueError, TypeError, KeyError, RuntimeError):
        return None
    return found[0]


async def _message(client: Client, failure: Failure) -> str | None:
    """What a failure says; with a codec its own field says only that it is encoded."""
    if failure.HasField("encoded_attributes"):
        error = await client.data_converter.decode_failure(failure)
        return error.message if isinstance(error, FailureError) else str(error)
    return failure.message or None


async def _numbered(client: Client, found: OpenExecution) -> OpenExecution:
    """With what the activity was scheduled with: near the end of the history of an open run."""
    token = b""
    for _ in range(_MOST_PAGES):
        page = await client.workflow_service.get_workflow_execution_history_reverse(
            GetWorkflowExecutionHistoryReverseRequest(
                namespace=client.namespace,
                execution=WorkflowExecution(workflow_id=found.run_id, run_id=found.temporal_run_id),
                maximum_page_size=_PAGE,
                next_page_token=token,
            )
        )
        for event in page.history.events:
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_id == found.activity_id:
                requests: list[ExecuteInput] = await client.data_converter.decode(
                    scheduled.input.payloads, [ExecuteInput]
                )
                return replace(
                    found,
                    attempt=requests[0].attempt or found.attempt,
                    compensates=requests[0].compensates,
                    secrets=secrets_in(requests[0].params),
                )
        token = page.next_page_token
        if not token:
            break
    return found
