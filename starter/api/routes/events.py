"""`POST /internal/events`: what plugins report of executions that they accepted."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from domain.cloud_event import STRUCTURED
from domain.events_out import EXECUTION_UPDATED
from domain.executions import ExecutionReport
from domain.ids import parse_run_id
from domain.problems import InvalidInput, Problem, shown
from shared.webhooks import SIGNATURE, BadSignature, verify
from starter import executions
from starter.api.access import Audited, NamedTenant, Shared, access_of
from starter.api.audit import Audit
from starter.api.bodies import EVENT_BYTES, JSON, as_model, media_type_of, read_bytes, strict_json
from starter.api.context import Context
from starter.api.openapi import ALWAYS, BODY, body, example, problems
from starter.callers import Scope, Unauthenticated

router = APIRouter(prefix="/internal", tags=["events"])

PLUGIN_RUNTIME = "plugin runtime"
"""Who signs reports, as the audit calls it."""

_REPORT = {
    "specversion": "1.0",
    "id": "0192f6a4-0004",
    "source": "/plugins/report-builder",
    "type": EXECUTION_UPDATED,
    "data": {
        "run_id": "run/acme/daily-report-2026-11-23T02:00:00Z",
        "attempt": 1,
        "nonce": "5c0c8f0e6a1b4d3f9e2a7b6c5d4e3f21",
        "sequence": 4,
        "status": "RUNNING",
        "progress": {"rows": 1200},
    },
}
_SCHEMA = {
    "type": "object",
    "required": ["type", "data"],
    "properties": {
        "type": {"const": EXECUTION_UPDATED},
        "data": ExecutionReport.model_json_schema(),
    },
}


@router.post(
    "/events",
    operation_id="receiveEvents",
    summary="Tell of an execution that was accepted",
    responses=example(200, {"duplicate": False, "cancel_requested": False}, "The report was taken")
    | problems(*ALWAYS, *BODY, 409),
    openapi_extra=body((STRUCTURED, _SCHEMA, _REPORT), (JSON, _SCHEMA, _REPORT)),
)
async def receive(
    request: Request, context: Shared, audit: Audited, tenant_id: NamedTenant = None
) -> dict[str, bool]:
    """A plugin runtime signs its reports by Standard Webhooks; others need `event:publish`.

    A report may come twice, late or out of order: it never makes an execution go back.
    """
    audit.scope = Scope.EVENT_PUBLISH
    if SIGNATURE in request.headers and "authorization" not in request.headers:
        content = await _signed(request, context, audit)
        owner = None  # who has the secret runs the plugins of every tenant
    else:
        access = await access_of(Scope.EVENT_PUBLISH, request, context, audit, tenant_id)
        media_type_of(request, STRUCTURED, JSON)
        content = await read_bytes(request, EVENT_BYTES)
        owner = access.tenant_id
    return await _report(context, audit, owner, strict_json(content).data)


async def _signed(request: Request, context: Context, audit: Audit) -> bytes:
    """The body of a request that a plugin runtime signed. Errors: `Unauthenticated`."""
    content = await read_bytes(request, EVENT_BYTES)
    try:
        verify(context.plugin_secrets(), request.headers, content, now=datetime.now(UTC))
    except BadSignature as error:
        raise Unauthenticated(str(error), "bad_signature") from error
    audit.who = PLUGIN_RUNTIME
    media_type_of(request, STRUCTURED, JSON)
    return content


async def _report(context: Context, audit: Audit, owner: str | None, event: Any) -> dict[str, bool]:
    report = as_report(event)
    run = parse_run_id(report.run_id)
    audit.tenant_id = owner or (run.tenant_id if run else None)
    audit.about(run_id=report.run_id, attempt=str(report.attempt), sequence=str(report.sequence))
    async with context.temporal.client() as client:
        taken = await executions.report(client, owner, report)
    return {"duplicate": taken.duplicate, "cancel_requested": taken.cancel_requested}


def as_report(event: Any) -> ExecutionReport:
    """The report in an event. Errors: `InvalidInput`."""
    if not isinstance(event, dict):
        raise InvalidInput([Problem((), f"must be an event, and this is {shown(event)}")])
    if event.get("type") != EXECUTION_UPDATED:
        said = shown(event.get("type"))
        raise InvalidInput([Problem(("type",), f"must be {EXECUTION_UPDATED}, and this is {said}")])
    return as_model(ExecutionReport, event.get("data"), ("data",))
