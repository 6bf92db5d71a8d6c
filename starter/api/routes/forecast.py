"""`GET /internal/forecast`: what will collide, and what to change so that it does not."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from temporalio.client import Client

from starter.api.access import Reader
from starter.api.examples import documented
from starter.api.keyed import Reply, at_length
from starter.api.models import ForecastDocument
from starter.api.openapi import ALWAYS, problems
from starter.forecast import MOST_HOURS, document, make_forecast

router = APIRouter(prefix="/internal", tags=["forecast"])


@router.get(
    "/forecast",
    operation_id="forecast",
    summary="What will wait, be skipped or break its SLA",
    response_model=None,
    responses=documented(ForecastDocument) | problems(*ALWAYS),
)
async def forecast(
    access: Reader,
    hours: Annotated[int, Query(ge=1, le=MOST_HOURS, description="How far to look ahead")] = 24,
) -> Response:
    """Every fire of the next hours goes through the rules that decide live."""

    async def work(client: Client) -> Reply:
        queue, now = access.context.settings.task_queue, datetime.now(UTC)
        found = await make_forecast(client, access.tenant_id, hours, now, task_queue=queue)
        return Reply(document(found))

    return (await at_length(access, work)).response()
