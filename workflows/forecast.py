"""`Forecast`: what will collide, every few minutes, and whether the last one was right."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from domain.attributes import FORECAST
    from domain.scoring import ForecastResult, ForecastTick
    from workflows.interfaces import forecast_tick

LONGEST = timedelta(minutes=10)
SILENCE = timedelta(seconds=60)


@workflow.defn(name=FORECAST)
class Forecast:
    """Carries what was foreseen from run to run, so that each real conflict is scored once."""

    @workflow.run
    async def run(self) -> ForecastResult:
        """Score what came since the last run, and look ahead again."""
        last = (
            workflow.get_last_completion_result(ForecastResult)
            if workflow.has_last_completion_result()
            else None
        )
        now = workflow.now()
        tick = await workflow.execute_activity(
            forecast_tick,
            ForecastTick(
                now=now,
                since=last.made_at if last else None,
                foreseen=last.tick.foreseen if last else None,
            ),
            start_to_close_timeout=LONGEST,
            heartbeat_timeout=SILENCE,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=2), maximum_interval=timedelta(seconds=30)
            ),
            summary="looks ahead",
        )
        return ForecastResult(
            made_at=now, tick=tick, totals=last.totals.plus(tick.score) if last else tick.score
        )
