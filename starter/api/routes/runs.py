"""Runs by their ids: showing one, and asking one to stop."""

from fastapi import APIRouter, Response
from temporalio.client import Client

from starter import control
from starter.api.access import Operator, Reader
from starter.api.examples import documented
from starter.api.keyed import KeyedRequest, Reply
from starter.api.models import CancelRequested, Run
from starter.api.openapi import ALWAYS, problems
from starter.api.routes.ids import RunId
from starter.runs import show_run

router = APIRouter(prefix="/internal/runs", tags=["runs"])


@router.get(
    "/{run_id:path}",
    operation_id="showRun",
    summary="One run",
    response_model=None,
    responses=documented(Run) | problems(*ALWAYS),
)
async def show(access: Reader, run_id: RunId) -> Response:
    """As it is now: no list is asked, and nothing lags."""
    async with access.context.temporal.client() as client:
        run = await show_run(client, access.tenant_id, run_id)
    return Reply(run.as_json()).response()


@router.post(
    "/{run_id:path}/cancel",
    operation_id="cancelRun",
    summary="Ask a run to stop",
    status_code=202,
    response_model=None,
    responses=documented(CancelRequested, 202, "The run was asked to stop")
    | problems(*ALWAYS, 409),
)
async def cancel(access: Operator, run_id: RunId, keyed: KeyedRequest) -> Response:
    """It closes its plugin call and ends CANCELLED. One that has ended already is 409."""

    async def work(client: Client) -> Reply:
        await control.cancel(client, access.tenant_id, run_id)
        return Reply({"run_id": run_id, "cancel_requested": True}, 202)

    return await keyed.answer(access, None, work)
