"""What a run may expect of itself: how long its task's last runs took."""

from datetime import timedelta

from temporalio import activity
from temporalio.client import Client

from domain.attributes import EXPECT_DURATION
from domain.durations import Expectation, ExpectInput
from shared.durations import learn_duration


class DurationActivities:
    """Local activities of runs; one instance per worker."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=EXPECT_DURATION)
    async def expect_duration(self, request: ExpectInput) -> Expectation:
        """Learned from runs, else the task's own word. Errors: `RPCError`."""
        learned = await learn_duration(self._client, request.tenant_id, request.task_id)
        if learned is not None:
            return Expectation(p95_s=learned.p95_s)
        if request.prior is None:
            return Expectation()
        return Expectation(p95_s=request.prior / timedelta(seconds=1))
