"""What the watch, the forecast and the roll-ups left behind when they looked last."""

from typing import TypeVar

from temporalio.client import Client

from domain.attributes import FORECAST, ROLLUP_LOOK, WATCH
from domain.payload import Payload
from domain.rollup import LookResult
from domain.scoring import ForecastResult
from domain.watch import WatchResult

Result = TypeVar("Result", bound=Payload)


async def last_watch(client: Client) -> WatchResult | None:
    """Of the newest look that ended, as Temporal's list has it. Errors: `RPCError`."""
    return await _last(client, WATCH, WatchResult)


async def last_forecast(client: Client) -> ForecastResult | None:
    """The same of the forecast. Errors: `RPCError`."""
    return await _last(client, FORECAST, ForecastResult)


async def last_rollup(client: Client) -> LookResult | None:
    """The same of the roll-ups. Errors: `RPCError`."""
    return await _last(client, ROLLUP_LOOK, LookResult)


async def _last(client: Client, workflow: str, kind: type[Result]) -> Result | None:
    query = f"WorkflowType = '{workflow}' AND ExecutionStatus = 'Completed'"
    async for execution in client.list_workflows(query, limit=1):
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id, result_type=kind)
        result: Result = await handle.result()
        return result
    return None
