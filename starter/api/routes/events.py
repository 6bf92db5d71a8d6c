"""`POST /internal/events`: events that run tasks, and what plugins report of their executions."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from domain.cloud_event import STRUCTURED
from domain.events_in import CloudEvent
from domain.executions import ExecutionReport
from starter import events
from starter.api.access import Audited, NamedTenant, Shared, caller_with
from starter.api.audit import Audit
from starter.api.bodies import JSON, media_type_of, strict_json
from starter.api.context import Context
from starter.api.limits import too_many
from starter.api.openapi import ALWAYS, BODY, example, problems
from starter.api.routes import event_bodies, reports
from starter.callers import Scope
from starter.pulse import while_alive

router = APIRouter(prefix="/internal", tags=["events"])

SECONDS = 60.0
"""For the runs of one request, while Temporal answers: a batch may start thousands."""
_MOST_AUDITED = 10
_RECEIVED = {
    "id": "order-4711",
    "source": "/shop/osaka",
    "type": "order.created",
    "runs": [{"task_id": "check-order", "run_id": f"run/acme/check-order/event/{'0a' * 16}"}],
    "paused": [],
    "limited": [],
    "failed_filters": [],
    "note": None,
}


@router.post(
    "/events",
    operation_id="receiveEvents",
    summary="Tell of events, or of an execution that was accepted",
    status_code=202,
    response_class=JSONResponse,
    responses=example(202, {"events": [_RECEIVED]}, "Every run that they start is there")
    | example(200, {"duplicate": False, "cancel_requested": False}, "The report was taken")
    | problems(*ALWAYS, *BODY, 409),
    openapi_extra=event_bodies.DOCUMENTED,
)
async def receive(
    request: Request, context: Shared, audit: Audited, tenant_id: NamedTenant = None
) -> JSONResponse:
    """CloudEvents 1.0: structured, as a batch, or binary (`ce-` headers and any body).

    Each event runs the tasks whose event triggers it matches; the same `source` and `id` again
    starts nothing again. 429 says that a rule has had enough for now: send all of it again later.

    A `task.execution.updated` is a report of a plugin. It may come twice, late or out of order, and
    never makes an execution go back. Runtimes that share a secret sign theirs by Standard Webhooks.
    """
    audit.scope = Scope.EVENT_PUBLISH
    if reports.is_signed(request):
        content = await reports.signed_body(request, context, audit)
        media_type_of(request, STRUCTURED, JSON)
        report = reports.report_in((await strict_json(content)).data)
        with context.replays.once(request.headers, content):
            return JSONResponse(await reports.take(context, audit, None, report))
    caller = await caller_with(Scope.EVENT_PUBLISH, request, context, audit)
    if tenant_id is not None or not caller.is_admin:
        audit.tenant_id = caller.tenant(tenant_id)
    told = await event_bodies.told_by(request)
    if isinstance(told, ExecutionReport):
        # An admin need not say whose it is: the nonce proves that the execution is the plugin's.
        return JSONResponse(await reports.take(context, audit, audit.tenant_id, told))
    audit.tenant_id = caller.tenant(tenant_id)
    return JSONResponse(await _received(context, audit, audit.tenant_id, told), 202)


async def _received(
    context: Context, audit: Audit, tenant_id: str, found: Sequence[CloudEvent]
) -> dict[str, Any]:
    """What became of the events. Errors: `TemporalUnreachable`, `HttpRefusal` 429."""
    shown = ", ".join(f"{event.source} {event.id}" for event in found[:_MOST_AUDITED])
    audit.about(events=str(len(found)), event=shown)
    async with context.temporal.client(SECONDS) as client:
        received = await while_alive(
            client,
            events.receive(client, context.rules, tenant_id, found),
            context.settings.temporal_timeout,
        )
    document = {"events": [one.as_json() for one in received]}
    waits = [one.retry_after_s for one in received if one.retry_after_s is not None]
    if waits:
        refusal = too_many(max(waits), "rules have had all the events that they take in a minute")
        refusal.members = document
        raise refusal
    return document
