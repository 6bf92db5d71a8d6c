"""What one run left in Temporal: events, workflow tasks and bytes of payload."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle


@dataclass(frozen=True)
class HistoryCost:
    """Events, completed workflow tasks, and bytes of all payloads with their metadata."""

    events: int
    workflow_tasks: int
    payload_bytes: int


async def history_cost(handle: WorkflowHandle[Any, Any]) -> HistoryCost:
    """The cost of a closed run, from its whole history."""
    events = (await handle.fetch_history()).events
    done = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    return HistoryCost(
        events=len(events),
        workflow_tasks=sum(event.event_type == done for event in events),
        payload_bytes=sum(found.ByteSize() for event in events for found in _payloads(event)),
    )


def _payloads(message: Message) -> Iterator[Payload]:
    """Every payload inside, however deep: arguments, results, memos, search attributes, texts."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            parts = list(value.values())
        else:
            parts = list(value) if field.is_repeated else [value]
        for part in parts:
            if isinstance(part, Message):  # a map's values may be numbers or text
                yield from _payloads(part)
