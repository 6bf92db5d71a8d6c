"""The events in a request, or the report, in whichever of CloudEvents' modes it is."""

from typing import Any

from fastapi import Request

from domain.cloud_event import BATCH, STRUCTURED
from domain.events_in import (
    MAX_BATCH,
    MAX_TYPE,
    CloudEvent,
    parse_batch,
    parse_binary,
    parse_structured,
)
from domain.events_out import EXECUTION_UPDATED
from domain.executions import ExecutionReport
from domain.problems import InvalidInput, Problem
from starter.api.bodies import (
    BATCH_BYTES,
    EVENT_BYTES,
    JSON,
    media_type_of,
    read_bytes,
    strict_json,
    too_large,
)
from starter.api.openapi import body
from starter.api.routes import reports

BINARY = "ce-"
"""What the headers of the binary mode begin with."""

_EVENT = {
    "specversion": "1.0",
    "id": "order-4711",
    "source": "/shop/osaka",
    "type": "order.created",
    "time": "2026-11-23T02:00:00Z",
    "data": {"amount": 120},
}
_TEXT = {"type": "string", "minLength": 1, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]+$"}
_OR_NULL = {**_TEXT, "type": ["string", "null"]}
"""Of attributes that may be left out: null says the same."""
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _TEXT,
        "source": {**_TEXT, "format": "uri-reference"},
        "type": {**_TEXT, "maxLength": MAX_TYPE},
        "subject": _OR_NULL,
        "time": {"type": ["string", "null"], "format": "date-time"},
        "datacontenttype": {**_OR_NULL, "description": "A media type; JSON if left out"},
        "dataschema": {"type": ["string", "null"], "format": "uri"},
        "data": {"description": "Any JSON; text, when `datacontenttype` says so"},
        "data_base64": {
            "type": ["string", "null"],
            "format": "byte",
            "description": "Instead of `data`",
        },
    },
    "propertyNames": {"pattern": "^([a-z0-9]{1,64}|data_base64)$"},
    "additionalProperties": {
        "anyOf": [
            _OR_NULL,
            {"type": "boolean"},
            {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
        ]
    },
}
_ONE = {"anyOf": [_SCHEMA, reports.SCHEMA]}
DOCUMENTED = body(
    (STRUCTURED, _ONE, _EVENT),
    (JSON, _ONE, reports.EXAMPLE),
    (BATCH, {"type": "array", "items": _SCHEMA, "maxItems": MAX_BATCH}, [_EVENT]),
)


async def told_by(request: Request) -> ExecutionReport | list[CloudEvent]:
    """What a request tells: one report, or events.

    JSON without `ce-` headers is an event too: most clients set that type by themselves.
    Errors: `HttpRefusal` 400, 408, 413, 415; `InvalidInput` for what is no event.
    """
    if any(name.startswith(BINARY) for name in request.headers):
        event = parse_binary(request.headers, await read_bytes(request, EVENT_BYTES))
        return reports.report_in(event.as_json()) if event.type == EXECUTION_UPDATED else [event]
    if media_type_of(request, STRUCTURED, BATCH, JSON) == BATCH:
        batch = await strict_json(await read_bytes(request, BATCH_BYTES))
        return _without_reports(parse_batch(batch.data))
    content = await read_bytes(request, reports.REPORT_BYTES)
    data = (await strict_json(content)).data
    if isinstance(data, dict) and data.get("type") == EXECUTION_UPDATED:
        return reports.report_in(data)
    if len(content) > EVENT_BYTES:
        raise too_large(EVENT_BYTES)
    return [parse_structured(data)]


def _without_reports(events: list[CloudEvent]) -> list[CloudEvent]:
    """Errors: `InvalidInput` for reports: one that is refused would take the others with it."""
    problems = [
        Problem((number, "type"), f"{EXECUTION_UPDATED} comes by itself, and not in a batch")
        for number, event in enumerate(events)
        if event.type == EXECUTION_UPDATED
    ]
    if problems:
        raise InvalidInput(problems)
    return events
