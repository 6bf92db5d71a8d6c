"""Runs of events on a real server: they are runs like any other, begun by an event."""

from datetime import UTC, datetime, timedelta

from temporalio.testing import ActivityEnvironment

from activities.absent_fires import seen_run
from activities.work_orders import WorkOrderActivities
from domain.ids import manual_run_id
from domain.limits import is_governed, skips_in_temporal
from domain.run import TaskRunResult
from domain.states import RunState
from domain.task import Task
from domain.work_orders import PrepareRetry, origin_of
from tests.admission.harness import Governed, Place, governed_task, new_tenant, succeeded
from tests.workflows.harness import (
    Runs,
    attributes_of,
    details_of,
    ended,
    event_types,
    on_event,
    stay_open,
    succeed,
)

AT = datetime(2026, 11, 23, 2, tzinfo=UTC)
ALLOW = "overlap: allow"


async def _reason(result: TaskRunResult | BaseException) -> str:
    assert isinstance(result, TaskRunResult)
    assert result.status is RunState.SKIPPED
    return result.reason or ""


async def test_the_event_is_what_the_plugin_is_called_with(runs: Runs) -> None:
    """Kind, times and payload are the event's; its run costs no more than any other."""
    task = on_event(runs.script(succeed(), lines=ALLOW))
    handle = await runs.receive(task, "o-17", at=AT)
    await succeeded(handle)
    (call,) = runs.plugin.calls[task.task_id]
    fire = call.request.trigger
    assert (fire.kind, fire.nominal_time, fire.trigger_time) == ("event", AT, AT)
    assert fire.payload == {
        "specversion": "1.0",
        "id": "o-17",
        "source": "/shop",
        "type": "order.created",
        "data": {"amount": 101},
    }
    found = await attributes_of(handle)
    assert (found["TriggerKind"], found["TriggerTime"]) == ("event", AT)
    assert "- event: `order.created`, id `o-17`, from `/shop`" in await details_of(handle)
    assert len(await event_types(handle)) == 13
    assert seen_run(await handle.describe()) is None  # the watch takes it for no fire


async def test_an_event_in_a_blackout_is_skipped_or_put_off(runs: Runs) -> None:
    """As a fire of that time would be: nobody decided to run it now, unlike a run by hand."""
    always = {"cron": "* * * * *", "duration": "5m"}
    skipped = on_event(runs.script(succeed(), lines=ALLOW, blackouts=[always]))
    reason = await _reason(await ended(await runs.receive(skipped)))
    assert reason.startswith("in a blackout (* * * * *, UTC) until ")
    half_days = {"cron": "0 0,12 * * *", "duration": "11h59m", "then": "defer"}
    deferred = on_event(runs.script(succeed(), lines=ALLOW, blackouts=[half_days]))
    handle = await runs.receive(deferred)
    assert "- waits: put off by a blackout" in await details_of(handle)
    await handle.cancel()
    assert isinstance(await ended(handle), BaseException)


async def test_the_deadlines_of_an_sla_count_from_when_the_event_was_received(runs: Runs) -> None:
    """A run that comes late to its worker is late."""
    lines = f"{ALLOW}\nsla: {{start_within: 1m, finish_within: 30m}}\nheartbeat_timeout: 5s"
    task = on_event(runs.script(stay_open(heartbeats=True), lines=lines))
    at = datetime.now(UTC).replace(microsecond=0)
    handle = await runs.receive(task, at=at)
    await runs.plugin.called(task.task_id)
    by = f"{at + timedelta(minutes=1):%Y-%m-%d %H:%M:%S}"
    assert f"- SLA: starts by {by} UTC" in await details_of(handle)
    await handle.terminate()


async def test_the_overlap_rule_holds_for_events(governed: Governed) -> None:
    """Its task asks the governor, for no schedule would see that runs of events overlap."""
    place = Place()
    task = on_event(governed.at(place, new_tenant(), overlap="skip"))
    first = await governed.receive(task, "1")
    await place.entered(first)
    second = await governed.receive(task, "2")
    assert await _reason(await ended(second)) == f"overlap: {first.id} was still under way"
    scheduled = await governed.fire(task)
    assert await _reason(await ended(scheduled)) == f"overlap: {first.id} was still under way"
    place.let_go()
    await succeeded(first)


async def test_a_retry_by_a_work_order_is_given_the_event(runs: Runs) -> None:
    """It is a run by hand for the time of the event, which nothing debounces any more."""
    task = on_event(runs.script(succeed(), lines=ALLOW))
    handle = await runs.receive(task, "7", at=AT, debounce=timedelta(hours=1))
    orders = WorkOrderActivities(runs.client)
    request = PrepareRetry(tenant_id=task.tenant_id, task_id=task.task_id, run_id=handle.id)
    plan = await ActivityEnvironment().run(orders.prepare_retry, request)
    assert plan.nominal_time == AT
    assert plan.request.event is None
    assert plan.request.manual
    assert isinstance(plan.request.manual.payload, dict)
    assert plan.request.manual.payload["id"] == "7"
    await handle.terminate()
    key = f"failed-retry-1/event/{handle.id[-32:]}"
    assert origin_of(manual_run_id(task.tenant_id, task.task_id, key)) == handle.id


def test_a_task_that_no_event_runs_is_governed_as_before() -> None:
    """Its own schedule keeps `overlap: skip`, at no cost."""
    task: Task = governed_task(new_tenant(), overlap="skip")
    assert not _governed(task)
    assert _governed(on_event(task))


def _governed(task: Task) -> bool:
    found = is_governed(task, limited=False)
    assert skips_in_temporal(task, limited=False) is not found
    return found
