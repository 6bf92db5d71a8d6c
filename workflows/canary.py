"""`Canary`: every minute, one activity by the way that runs go, to see whether it is open."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.attributes import CANARY
    from domain.run_metrics import CANARY_AT, CANARY_FAILED, CANARY_SECONDS
    from workflows.counting import count, observe, show
    from workflows.interfaces import probe

THROUGH_WITHIN = timedelta(seconds=40)
"""The next one comes after a minute, and none is to be in its way."""
DUE = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


@workflow.defn(name=CANARY)
class Canary:
    """Calls no plugin and is no tenant's."""

    @workflow.run
    async def run(self) -> None:
        """Come through. Errors: `ApplicationError`, so that Temporal shows it failed."""
        info = workflow.info()
        due: datetime = info.typed_search_attributes.get(DUE) or info.start_time
        try:
            await workflow.execute_activity(
                probe,
                schedule_to_close_timeout=THROUGH_WITHIN,
                retry_policy=RetryPolicy(initial_interval=timedelta(seconds=2)),
                summary="the way of a plugin's call",
            )
        except ActivityError as error:
            count(CANARY_FAILED)
            reason = str(error.cause or error)
            workflow.logger.error(
                "a canary failed", extra={"action": "canary_failed", "reason": reason}
            )
            raise ApplicationError(
                f"no worker did it within {THROUGH_WITHIN.total_seconds():g} s: {reason}",
                type="CANARY_FAILED",
                non_retryable=True,
            ) from error
        now = workflow.now()
        observe(CANARY_SECONDS, (now - due).total_seconds())
        show(CANARY_AT, now.timestamp())
