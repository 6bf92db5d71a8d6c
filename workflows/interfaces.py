"""Activities as workflows see them: names, arguments and results, and no I/O behind them."""

from temporalio import activity

from domain.attributes import (
    ASK_GOVERNOR,
    CANCEL_EXECUTION,
    DEBOUNCE_EVENT,
    EXECUTE_PLUGIN,
    EXPECT_DURATION,
    FORECAST_TICK,
    PROBE,
    PUBLISH_CHANGES,
    RAISE_NOTICES,
    READ_FLAGS,
    RELEASE_CAPACITY,
    RELEASE_GRANT,
    RESERVE_CAPACITY,
    RESTORE_GOVERNOR,
    ROLL_UP_DAYS,
    SWEEP_RUNS,
    TELL_RUNS,
    WATCH_TICK,
)
from domain.capacity import CapacityAnswer, CapacityRelease, CapacityRequest
from domain.debounce import DebounceInput
from domain.durations import Expectation, ExpectInput
from domain.events_out import Published, RunChanges
from domain.governor import (
    Answer,
    AskInput,
    ReleaseInput,
    Restore,
    Restored,
    Sweep,
    Swept,
    Tell,
)
from domain.notices import Raised, RaiseInput
from domain.rollup import LookInput, LookResult
from domain.run import CancelInput, ExecuteInput, ExecuteResult, FlagsInput, FlagsNow
from domain.scoring import ForecastTick, ForecastTicked
from domain.watch import TickInput, TickResult


@activity.defn(name=EXECUTE_PLUGIN)
async def execute_plugin(request: ExecuteInput) -> ExecuteResult:
    """One attempt of a run: call the plugin and wait for its answer."""
    raise NotImplementedError(f"a worker implements this: {request.plugin_id}")


@activity.defn(name=CANCEL_EXECUTION)
async def cancel_execution(request: CancelInput) -> None:
    """Tell the plugin to stop; that it does not know the execution is fine."""
    raise NotImplementedError(f"a worker implements this: {request.key}")


@activity.defn(name=RAISE_NOTICES)
async def raise_notices(request: RaiseInput) -> Raised:
    """Start a `Notice` workflow for each, once per breach id; returns as soon as they are sure."""
    raise NotImplementedError(f"a worker implements this: {request.tenant_id}")


@activity.defn(name=EXPECT_DURATION)
async def expect_duration(request: ExpectInput) -> Expectation:
    """How long the task's next run will take, at worst in nineteen of twenty cases."""
    raise NotImplementedError(f"a worker implements this: {request.task_id}")


@activity.defn(name=DEBOUNCE_EVENT)
async def debounce_event(request: DebounceInput) -> None:
    """Tell the rule's `Debounce` workflow of this run; telling again is safe."""
    raise NotImplementedError(f"a worker implements this: {request.run_id}")


@activity.defn(name=READ_FLAGS)
async def read_flags(request: FlagsInput) -> FlagsNow:
    """The feature flags that hold for a tenant now."""
    raise NotImplementedError(f"a worker implements this: {request.tenant_id}")


@activity.defn(name=PUBLISH_CHANGES)
async def publish_changes(request: RunChanges) -> Published:
    """Tell the sinks of a run's state changes, or hand over what they do not take at once."""
    raise NotImplementedError(f"a worker implements this: {request.run_id}")


@activity.defn(name=WATCH_TICK)
async def watch_tick(request: TickInput) -> TickResult:
    """Judge the fires of a window, act on those without a run, and set schedules right."""
    raise NotImplementedError(f"a worker implements this: {request.until}")


@activity.defn(name=ASK_GOVERNOR)
async def ask_governor(request: AskInput) -> Answer:
    """Ask the tenant's governor whether this run may go; asking again is safe."""
    raise NotImplementedError(f"a worker implements this: {request.request.run_id}")


@activity.defn(name=RELEASE_GRANT)
async def release_grant(request: ReleaseInput) -> None:
    """Tell the tenant's governor that this run holds nothing, and waits for nothing, any more."""
    raise NotImplementedError(f"a worker implements this: {request.run_id}")


@activity.defn(name=RESERVE_CAPACITY)
async def reserve_capacity(request: CapacityRequest) -> CapacityAnswer:
    """Reserve capacity outside; the same reservation twice is one."""
    raise NotImplementedError(f"a worker implements this: {request.reservation_id}")


@activity.defn(name=RELEASE_CAPACITY)
async def release_capacity(request: CapacityRelease) -> None:
    """Give a reservation back; one that was never made is fine."""
    raise NotImplementedError(f"a worker implements this: {request.reservation_id}")


@activity.defn(name=RESTORE_GOVERNOR)
async def restore_governor(request: Restore) -> Restored:
    """What the tenant's live runs hold and wait for, asked of the runs themselves."""
    raise NotImplementedError(f"a worker implements this: {request.tenant_id}")


@activity.defn(name=SWEEP_RUNS)
async def sweep_runs(request: Sweep) -> Swept:
    """Which of these runs are closed; what they reserved outside is given back."""
    raise NotImplementedError(f"a worker implements this: {request.tenant_id}")


@activity.defn(name=TELL_RUNS)
async def tell_runs(request: Tell) -> None:
    """Have runs ask again, and stop those that a newer one replaces; it is a hint, no more."""
    raise NotImplementedError(f"a worker implements this: {len(request.wake)}")


@activity.defn(name=PROBE)
async def probe() -> None:
    """Do nothing but be done: whoever waits for it learns that activities are."""
    raise NotImplementedError("a worker implements this")


@activity.defn(name=FORECAST_TICK)
async def forecast_tick(request: ForecastTick) -> ForecastTicked:
    """Score real conflicts by what was foreseen, and look ahead again."""
    raise NotImplementedError(f"a worker implements this: {request.now}")


@activity.defn(name=ROLL_UP_DAYS)
async def roll_up_days(request: LookInput) -> LookResult:
    """Count the days that are over, and lay down what was counted; doing it again is safe."""
    raise NotImplementedError(f"a worker implements this: {request.now}")
