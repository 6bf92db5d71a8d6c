"""`GET /internal/sla-report`: how many fires were on time, and what their runs came to."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from temporalio.client import Client

from starter.api.access import Reader
from starter.api.examples import documented
from starter.api.keyed import Reply, at_length
from starter.api.models import SlaReportDocument
from starter.api.openapi import ALWAYS, problems
from starter.sla_report import check_window, make_report
from starter.when import since as since_when

router = APIRouter(prefix="/internal", tags=["sla-report"])


@router.get(
    "/sla-report",
    operation_id="slaReport",
    summary="How many fires were on time, and what their runs came to",
    response_model=None,
    responses=documented(SlaReportDocument) | problems(*ALWAYS),
)
async def sla_report(
    access: Reader,
    since: Annotated[
        str, Query(max_length=100, description="A time, or how long ago: `2h`, `3d`")
    ] = "24h",
    until: Annotated[
        str | None, Query(max_length=100, description="The same; now if left out")
    ] = None,
) -> Response:
    """On time is a run that began within 60 s of when it was due. It covers what Temporal has."""
    now = datetime.now(UTC)
    first = since_when(since, now)
    last = since_when(until, now, "until") if until is not None else now
    check_window(first, last)

    async def work(client: Client) -> Reply:
        queue = access.context.settings.task_queue
        report = await make_report(client, access.tenant_id, first, last, now, task_queue=queue)
        return Reply(report.as_json())

    return (await at_length(access, work)).response()
