"""What the watch left behind when it looked last."""

from temporalio.client import Client

from domain.attributes import WATCH
from domain.watch import WatchResult


async def last_watch(client: Client) -> WatchResult | None:
    """Of the newest look that ended, as Temporal's list has it. Errors: `RPCError`."""
    query = f"WorkflowType = '{WATCH}' AND ExecutionStatus = 'Completed'"
    async for execution in client.list_workflows(query, limit=1):
        handle = client.get_workflow_handle(
            execution.id, run_id=execution.run_id, result_type=WatchResult
        )
        result: WatchResult = await handle.result()
        return result
    return None
