"""`GET /internal/sla-report`: how many fires were on time, and what their runs came to."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from temporalio.client import Client

from starter.api.access import Reader
from starter.api.examples import documented
from starter.api.keyed import NO_STORE, Reply, at_length
from starter.api.models import SlaReportDocument
from starter.api.openapi import ALWAYS, problems
from starter.sla_report import SlaReport, check_window, make_report
from starter.sla_report_formats import MEDIA_TYPES, Format, accepted, as_csv, as_html
from starter.when import since as since_when

router = APIRouter(prefix="/internal", tags=["sla-report"])


def _documented() -> dict[int | str, dict[str, Any]]:
    answers = documented(SlaReportDocument)
    for media_type in (MEDIA_TYPES[Format.CSV], MEDIA_TYPES[Format.HTML]):
        answers[200]["content"][media_type] = {"schema": {"type": "string"}}
    return answers | problems(*ALWAYS)


@router.get(
    "/sla-report",
    operation_id="slaReport",
    summary="How many fires were on time, and what their runs came to",
    response_model=None,
    responses=_documented(),
)
async def sla_report(
    access: Reader,
    since: Annotated[
        str, Query(max_length=100, description="A time, or how long ago: `2h`, `3d`")
    ] = "24h",
    until: Annotated[
        str | None, Query(max_length=100, description="The same; now if left out")
    ] = None,
    as_format: Annotated[
        Format | None, Query(alias="format", description="What `Accept` says if left out, or JSON")
    ] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """On time is a run that began within 60 s of when it was due.

    Whole days come from roll-ups, and the rest from what Temporal has.
    """
    now = datetime.now(UTC)
    first = since_when(since, now)
    last = since_when(until, now, "until") if until is not None else now
    check_window(first, last)

    async def work(client: Client) -> SlaReport:
        queue = access.context.settings.task_queue
        return await make_report(client, access.tenant_id, first, last, now, task_queue=queue)

    report = await at_length(access, work)
    return _answer(report, as_format or accepted(accept), now)


def _answer(report: SlaReport, wanted: Format, now: datetime) -> Response:
    headers = {**NO_STORE, "Vary": "Accept"}
    match wanted:
        case Format.CSV:
            headers["Content-Disposition"] = 'attachment; filename="sla-report.csv"'
            return Response(as_csv(report), headers=headers, media_type="text/csv; header=present")
        case Format.HTML:
            # It has one style of its own, and wants nothing else: no script, whoever named a task.
            headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
            return Response(as_html(report, now), headers=headers, media_type="text/html")
        case Format.JSON:
            return Reply(report.as_json(), headers=headers).response()
