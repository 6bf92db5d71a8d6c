"""Reports of plugins about executions that they accepted, as they come in by HTTP."""

from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from domain.events_out import EXECUTION_UPDATED
from domain.executions import ExecutionReport
from domain.ids import parse_run_id
from domain.problems import InvalidInput, Problem, shown
from shared.webhooks import SIGNATURE, BadSignature, verify
from starter import executions
from starter.api.audit import Audit
from starter.api.bodies import as_model, read_bytes
from starter.api.context import Context
from starter.api.schemas import inlined
from starter.callers import Unauthenticated

REPORT_BYTES = 320 * 1024
"""A result of 256 KiB, and what a report says beside it."""

PLUGIN_RUNTIME = "plugin runtime"
"""Who signs reports, as the audit calls it: it runs the plugins of every tenant."""

EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "0192f6a4-0004",
    "source": "/plugin/runtime/report-builder",
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
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "data"],
    "properties": {
        "type": {"const": EXECUTION_UPDATED},
        "data": inlined(ExecutionReport),
    },
}


def is_signed(request: Request) -> bool:
    """Whether a request is to be known by its signature; a token comes first."""
    return SIGNATURE in request.headers and "authorization" not in request.headers


async def signed_body(request: Request, context: Context, audit: Audit) -> bytes:
    """The body of a request that a plugin runtime signed, not long ago.

    Errors: `Unauthenticated`; `HttpRefusal` 408, 413.
    """
    content = await read_bytes(request, REPORT_BYTES)
    try:
        verify(context.plugin_secrets(), request.headers, content, now=datetime.now(UTC))
    except BadSignature as error:
        raise Unauthenticated(str(error), "bad_signature") from error
    audit.who = PLUGIN_RUNTIME
    return content


def report_in(event: Any) -> ExecutionReport:
    """The report that an event is. Errors: `InvalidInput`."""
    if not isinstance(event, dict):
        raise InvalidInput([Problem((), f"must be an event, and this is {shown(event)}")])
    if event.get("type") != EXECUTION_UPDATED:
        said = shown(event.get("type"))
        raise InvalidInput([Problem(("type",), f"must be {EXECUTION_UPDATED}, and this is {said}")])
    return as_model(ExecutionReport, event.get("data"), ("data",))


async def take(
    context: Context, audit: Audit, tenant_id: str | None, report: ExecutionReport
) -> dict[str, bool]:
    """Take a report; `tenant_id` None: of whatever tenant, as its nonce proves whose it is.

    Errors: those of `executions.report`, and `TemporalUnreachable`.
    """
    run = parse_run_id(report.run_id)
    audit.tenant_id = tenant_id or (run.tenant_id if run else None)
    audit.about(run_id=report.run_id, attempt=str(report.attempt), sequence=str(report.sequence))
    async with context.temporal.client() as client:
        taken = await executions.report(client, tenant_id, report)
    return {"duplicate": taken.duplicate, "cancel_requested": taken.cancel_requested}
