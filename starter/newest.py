"""The newest of a run's history: what no list has, and what no worker is asked for."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client

from domain.attributes import PAUSE, RESUME
from domain.run import PauseInput

NEXT_ATTEMPT = "next attempt"
"""Summary of the timer that a run in its back-off waits for."""
_PAGE = 50
_MOST_PAGES = 4


@dataclass(slots=True)
class Newest:
    """`pause`: as it was last asked for, None after a resume. `next_attempt`: when it is due, of a
    run that waits for it just now.
    """

    pause: PauseInput | None = None
    next_attempt: datetime | None = None


async def newest_of(client: Client, run_id: str, temporal_run_id: str) -> Newest:
    """Of an open run. Errors: `RPCError`."""
    newest, over = Newest(), set[str]()
    signalled = timed = False
    async for event in _backwards(client, run_id, temporal_run_id):
        match event.event_type:
            case EventType.EVENT_TYPE_TIMER_FIRED:
                over.add(event.timer_fired_event_attributes.timer_id)
            case EventType.EVENT_TYPE_TIMER_CANCELED:
                over.add(event.timer_canceled_event_attributes.timer_id)
            case EventType.EVENT_TYPE_TIMER_STARTED if not timed:
                timed = await _summary(client, event) == NEXT_ATTEMPT
                if timed and event.timer_started_event_attributes.timer_id not in over:
                    newest.next_attempt = _ends_at(event)
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED if not signalled:
                signal = event.workflow_execution_signaled_event_attributes
                signalled = signal.signal_name in (PAUSE, RESUME)
                if signal.signal_name == PAUSE:
                    asked = await client.data_converter.decode(signal.input.payloads, [PauseInput])
                    newest.pause = asked[0]
        if signalled and timed:
            break
    return newest


def _ends_at(event: HistoryEvent) -> datetime:
    length = event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
    return event.event_time.ToDatetime(tzinfo=UTC) + length


async def _summary(client: Client, event: HistoryEvent) -> str | None:
    if not event.user_metadata.HasField("summary"):
        return None
    found: list[str] = await client.data_converter.decode([event.user_metadata.summary], [str])
    return found[0]


async def _backwards(
    client: Client, run_id: str, temporal_run_id: str
) -> AsyncIterator[HistoryEvent]:
    """Newest first, and not to the beginning of a long one."""
    token = b""
    for _ in range(_MOST_PAGES):
        page = await client.workflow_service.get_workflow_execution_history_reverse(
            GetWorkflowExecutionHistoryReverseRequest(
                namespace=client.namespace,
                execution=WorkflowExecution(workflow_id=run_id, run_id=temporal_run_id),
                maximum_page_size=_PAGE,
                next_page_token=token,
            )
        )
        for event in page.history.events:
            yield event
        token = page.next_page_token
        if not token:
            return
