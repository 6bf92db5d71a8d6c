"""Activities as workflows see them: names, arguments and results, and no I/O behind them."""

from temporalio import activity

from domain.attributes import EXECUTE_PLUGIN
from domain.run import ExecuteInput, ExecuteResult


@activity.defn(name=EXECUTE_PLUGIN)
async def execute_plugin(request: ExecuteInput) -> ExecuteResult:
    """One attempt of a run: call the plugin and wait for its answer."""
    raise NotImplementedError(f"a worker implements this: {request.plugin_id}")
