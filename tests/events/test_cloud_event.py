"""The events themselves: CloudEvents 1.0 in JSON, the same however often they are made."""

import json
from datetime import UTC, datetime, timedelta, timezone

from domain.cloud_event import BATCH, STRUCTURED, body_of, event_of, message_id
from domain.events_out import RunChanges, StateChange
from domain.states import RunState
from tests.events.harness import TRACE

_AT = datetime(2026, 11, 23, 10, 0, 1, 500_000, tzinfo=timezone(timedelta(hours=8)))
_CHANGE = StateChange(
    sequence=3,
    status=RunState.FAILED,
    previous=RunState.RUNNING,
    at=_AT,
    attempt=2,
    reason="out of attempts \u2014 \u5931\u8d25",
    error_code="BUSY",
)
_FIRST = StateChange(sequence=1, status=RunState.RUNNING, previous=None, at=_AT.astimezone(UTC))
_RUN = RunChanges(
    tenant_id="acme",
    task_id="report",
    plugin_id="builder",
    run_id="run/acme/report-2026-11-23T02:00:00Z",
    trace_id=TRACE,
    changes=[_FIRST, _CHANGE],
)


def test_an_event_says_everything_of_a_change() -> None:
    """Attributes and data, times in UTC."""
    event = event_of(_RUN, _CHANGE)
    parent = str(event.pop("traceparent"))
    assert parent.startswith(f"00-{TRACE}-")
    assert len(parent) == 55
    assert event == {
        "specversion": "1.0",
        "id": "run/acme/report-2026-11-23T02:00:00Z/3",
        "source": "/taskflow/acme",
        "type": "task.execution.updated",
        "subject": "run/acme/report-2026-11-23T02:00:00Z",
        "time": "2026-11-23T02:00:01.500000Z",
        "datacontenttype": "application/json",
        "data": {
            "run_id": "run/acme/report-2026-11-23T02:00:00Z",
            "tenant_id": "acme",
            "task_id": "report",
            "plugin_id": "builder",
            "status": "FAILED",
            "previous": "RUNNING",
            "attempt": 2,
            "sequence": 3,
            "reason": "out of attempts \u2014 \u5931\u8d25",
            "error_code": "BUSY",
            "at": "2026-11-23T02:00:01.500000Z",
            "trace_id": TRACE,
        },
    }


def test_one_is_an_event_and_more_are_a_batch() -> None:
    """Each with the content type that CloudEvents has for it."""
    events = [event_of(_RUN, change) for change in _RUN.changes]
    content_type, body = body_of(events[:1])
    assert (content_type, json.loads(body)) == (STRUCTURED, events[0])
    content_type, body = body_of(events)
    assert (content_type, json.loads(body)) == (BATCH, events)


def test_a_message_has_the_id_of_what_is_in_it() -> None:
    """The same when it is sent again, and nothing that a signature could be cheated with."""
    one, other = (event_of(_RUN, change) for change in _RUN.changes)
    assert message_id([one, other]) == message_id([dict(one), dict(other)])
    ids = {message_id(events) for events in ([one], [other], [one, other], [other, one])}
    assert len(ids) == 4
    assert all(text.isascii() and "." not in text and len(text) < 64 for text in ids)
