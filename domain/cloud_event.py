"""State changes of runs as CloudEvents 1.0, in their JSON formats."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b

from pydantic import JsonValue

from domain.events_out import EXECUTION_UPDATED, RunChanges, StateChange
from domain.trace import traceparent

Event = dict[str, JsonValue]
"""One event, by the attribute names of CloudEvents."""

STRUCTURED = "application/cloudevents+json"
"""Content type of one event."""

BATCH = "application/cloudevents-batch+json"
"""Content type of a list of events."""


def event_id(run_id: str, sequence: int) -> str:
    """`<run id>/<sequence>`: a change has the same id however often it is sent."""
    return f"{run_id}/{sequence}"


def event_of(run: RunChanges, change: StateChange, *, sampled: bool = True) -> Event:
    """One state change of a run. `sampled`: whether the run's trace is recorded."""
    at = _time(change.at)
    return {
        "specversion": "1.0",
        "id": event_id(run.run_id, change.sequence),
        "source": f"/taskflow/{run.tenant_id}",
        "type": EXECUTION_UPDATED,
        "subject": run.run_id,
        "time": at,
        "datacontenttype": "application/json",
        "traceparent": traceparent(run.trace_id, change.attempt, sampled=sampled),
        "data": {
            "run_id": run.run_id,
            "tenant_id": run.tenant_id,
            "task_id": run.task_id,
            "plugin_id": run.plugin_id,
            "status": change.status.value,
            "previous": change.previous.value if change.previous else None,
            "attempt": change.attempt,
            "sequence": change.sequence,
            "reason": change.reason,
            "error_code": change.error_code,
            "at": at,
            "trace_id": run.trace_id,
        },
    }


def body_of(events: Sequence[Event]) -> tuple[str, bytes]:
    """Content type and body of one request: a lone event stands for itself, several are a batch."""
    if len(events) == 1:
        return STRUCTURED, _json(events[0])
    return BATCH, _json(list(events))


def message_id(events: Sequence[Event]) -> str:
    """A short id of these events together, the same whenever they are sent together again.

    It is a part of what is signed, where a full stop ends it; ids of runs may have some.
    """
    ids = json.dumps([event["id"] for event in events])
    return f"msg_{blake2b(ids.encode(), digest_size=16).hexdigest()}"


def _json(value: JsonValue | list[Event]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
