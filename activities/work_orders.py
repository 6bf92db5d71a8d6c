"""What work orders have done for them."""

from datetime import datetime

from temporalio import activity
from temporalio.client import Client, ScheduleActionStartWorkflow
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from domain.due import due_of
from domain.ids import parse_run_id, schedule_id
from domain.run import ManualFire, TaskRunInput
from domain.work_orders import PREPARE_RETRY, PrepareRetry, RetryPlan
from shared.calls import is_missing
from shared.recovery import given_to
from shared.schedules import read_request


class WorkOrderActivities:
    """One instance per worker."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=PREPARE_RETRY)
    async def prepare_retry(self, request: PrepareRetry) -> RetryPlan:
        """The task as it is registered now: whoever retries may have mended it. Else as it was.

        What the run was triggered with stays. Errors: `ApplicationError` of type `NOTHING_TO_RUN`,
        which is final; `RPCError`.
        """
        given = await given_to(self._client, request.run_id)
        manual = _by_hand(given.request) if given else None
        nominal = _nominal_time(request.run_id, given.request) if given else None
        if plan := await self._registered(request):
            again = plan.request.model_copy(update={"manual": manual})
            return plan.model_copy(update={"request": again, "nominal_time": nominal})
        if given is None:
            raise ApplicationError(
                f"neither the task {request.tenant_id}/{request.task_id} nor the run "
                f"{request.run_id} is there any more",
                type="NOTHING_TO_RUN",
                non_retryable=True,
            )
        # As a run by hand: what the watch found of the other is not true of this one.
        again = given.request.model_copy(update={"finding": None, "event": None, "manual": manual})
        return RetryPlan(
            request=again, task_queue=given.task_queue, registered=False, nominal_time=nominal
        )

    async def _registered(self, request: PrepareRetry) -> RetryPlan | None:
        handle = self._client.get_schedule_handle(schedule_id(request.tenant_id, request.task_id))
        try:
            found = await handle.describe()
        except RPCError as error:
            if is_missing(error):
                return None
            raise
        action = found.schedule.action
        started_with = await read_request(self._client, found.schedule)
        if started_with is None or not isinstance(action, ScheduleActionStartWorkflow):
            return None
        weight = action.priority.fairness_weight or 1.0
        return RetryPlan(request=started_with, task_queue=action.task_queue, weight=weight)


def _by_hand(request: TaskRunInput) -> ManualFire | None:
    """What a run by hand begins with that repeats this one: an event goes with it, as it came."""
    event = request.event
    return ManualFire(at=event.at, payload=event.event) if event else request.manual


def _nominal_time(run_id: str, request: TaskRunInput) -> datetime | None:
    """What a run was for: a plugin that works on "yesterday" must not take it for another day."""
    if request.manual:
        return request.manual.nominal_time or request.manual.at
    if request.event:
        return request.event.at
    parsed = parse_run_id(run_id)
    if parsed is None or parsed.scheduled_time is None:
        return None
    return due_of(request.task, parsed.scheduled_time, request.jitter_seed).nominal_time
