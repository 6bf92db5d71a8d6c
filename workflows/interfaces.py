"""Activities as workflows see them: names, arguments and results, and no I/O behind them."""

from temporalio import activity

from domain.attributes import EXECUTE_PLUGIN, WATCH_TICK
from domain.run import ExecuteInput, ExecuteResult
from domain.watch import TickInput, TickResult


@activity.defn(name=EXECUTE_PLUGIN)
async def execute_plugin(request: ExecuteInput) -> ExecuteResult:
    """One attempt of a run: call the plugin and wait for its answer."""
    raise NotImplementedError(f"a worker implements this: {request.plugin_id}")


@activity.defn(name=WATCH_TICK)
async def watch_tick(request: TickInput) -> TickResult:
    """Judge the fires of a window, act on those without a run, and set schedules right."""
    raise NotImplementedError(f"a worker implements this: {request.until}")
