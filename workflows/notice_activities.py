"""The activities of notices and work orders as those workflows see them."""

from temporalio import activity

from domain.attributes import LOOK_AT_STREAK, NOTIFY
from domain.notices import Looked, LookInput, Notified, NotifyInput
from domain.work_orders import PREPARE_RETRY, PrepareRetry, RetryPlan


@activity.defn(name=NOTIFY)
async def notify(request: NotifyInput) -> Notified:
    """Tell the notification service; the same breach twice is one notification."""
    raise NotImplementedError(f"a worker implements this: {request.breach.breach_id}")


@activity.defn(name=LOOK_AT_STREAK)
async def look_at_streak(request: LookInput) -> Looked:
    """Whether this breach makes several in a row, which is then told, once."""
    raise NotImplementedError(f"a worker implements this: {request.breach.breach_id}")


@activity.defn(name=PREPARE_RETRY)
async def prepare_retry(request: PrepareRetry) -> RetryPlan:
    """What a run is started with that does the work of a failed one again."""
    raise NotImplementedError(f"a worker implements this: {request.run_id}")
