"""`POST /internal/events`: what plugins report of executions that they accepted."""

from fastapi import APIRouter, Request

from domain.cloud_event import STRUCTURED
from starter.api.access import Audited, NamedTenant, Shared, caller_with
from starter.api.bodies import JSON, media_type_of, read_bytes, strict_json
from starter.api.openapi import ALWAYS, BODY, body, example, problems
from starter.api.routes import reports
from starter.callers import Scope

router = APIRouter(prefix="/internal", tags=["events"])


@router.post(
    "/events",
    operation_id="receiveEvents",
    summary="Tell of an execution that was accepted",
    responses=example(200, {"duplicate": False, "cancel_requested": False}, "The report was taken")
    | problems(*ALWAYS, *BODY, 409),
    openapi_extra=body(
        (STRUCTURED, reports.SCHEMA, reports.EXAMPLE), (JSON, reports.SCHEMA, reports.EXAMPLE)
    ),
)
async def receive(
    request: Request, context: Shared, audit: Audited, tenant_id: NamedTenant = None
) -> dict[str, bool]:
    """A plugin runtime signs its reports by Standard Webhooks; others need `event:publish`.

    A report may come twice, late or out of order: it never makes an execution go back.
    """
    audit.scope = Scope.EVENT_PUBLISH
    if reports.is_signed(request):
        content = await reports.signed_body(request, context, audit)
        media_type_of(request, STRUCTURED, JSON)
        owner = None
    else:
        caller = await caller_with(Scope.EVENT_PUBLISH, request, context, audit)
        owner = None if caller.is_admin and tenant_id is None else caller.tenant(tenant_id)
        media_type_of(request, STRUCTURED, JSON)
        content = await read_bytes(request, reports.REPORT_BYTES)
    report = reports.report_in(strict_json(content).data)
    return await reports.take(context, audit, owner, report)
