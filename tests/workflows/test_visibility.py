"""What a run leaves for people to see: search attributes, details and a short history."""

from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import EventType

from domain.attributes import CANCEL_EXECUTION, EXECUTE_PLUGIN
from domain.ids import plugin_queue
from domain.run import ManualFire, TaskRunResult, TriggerKind
from tests.workflows.harness import (
    Runs,
    attributes_of,
    details_of,
    ended,
    fail,
    nominal_of,
    stay_open,
    succeed,
)

_QUICK = "retry: {max_attempts: 3, initial_interval: 100ms, backoff: 1, max_interval: 100ms}"
_MOST_EVENTS = 13
"""Of a plain run: what a server can do in a second depends on this more than on anything else."""


async def test_a_success_is_found_by_its_search_attributes(runs: Runs) -> None:
    """Status, kind, times and counts of a run can be asked for without its history."""
    task = runs.script(succeed())
    at = datetime(2026, 11, 23, 2, tzinfo=UTC)
    before = datetime.now(UTC) - timedelta(seconds=1)
    handle = await runs.start(task, ManualFire(at=at))
    result = await handle.result()
    found = await attributes_of(handle)
    assert before < found.pop("ActualStart") < datetime.now(UTC)
    found.pop("BuildIds", None)  # Temporal's own
    assert found == {
        "TaskStatus": "SUCCESS",
        "TriggerKind": "manual",
        "TriggerTime": at,
        "RetryCount": 0,
        "DurationMs": result.duration_ms,
    }


async def test_a_plain_run_costs_few_events(runs: Runs) -> None:
    """A run without retries stays close to the eleven events of a bare workflow and activity."""
    handle = await runs.start(runs.script(succeed()))
    await handle.result()
    assert len((await handle.fetch_history()).events) <= _MOST_EVENTS


async def test_a_scheduled_run_takes_its_nominal_time_from_the_schedule(runs: Runs) -> None:
    """Nominal and trigger time are the schedule's, whenever the run is taken up."""
    task = runs.script(succeed(), triggers=[{"every": "10s"}])
    every_second = task.model_copy(
        update={"triggers": [task.triggers[0].model_copy(update={"every": timedelta(seconds=1)})]}
    )
    handle = await runs.first_scheduled(every_second)
    result = await handle.result()
    nominal = nominal_of(handle, task)
    fire = runs.plugin.calls[task.task_id][0].request.trigger
    assert isinstance(result, TaskRunResult)
    assert (fire.kind, fire.nominal_time, fire.trigger_time) == (
        TriggerKind.INTERVAL,
        nominal,
        nominal,
    )
    found = await attributes_of(handle)
    assert (found["TriggerTime"], found["TriggerKind"]) == (nominal, "interval")
    assert nominal <= found["ActualStart"]


async def test_the_current_details_tell_the_story(runs: Runs) -> None:
    """State first, then why, what, when and how often: Temporal's own UI needs no other tool."""
    task = runs.script(fail("OUT_OF_PAPER"), lines=_QUICK)
    at = datetime.now(UTC) - timedelta(minutes=5)
    handle = await runs.start(task, ManualFire(at=at))
    await ended(handle)
    lines = (await details_of(handle)).splitlines()
    assert lines[0].startswith("**FAILED** - ")
    assert lines[2] == "- why: `OUT_OF_PAPER`: it said OUT_OF_PAPER"
    assert lines[3] == f"- task: `acme/{task.task_id}`, plugin `report-builder`"
    assert lines[4] == f"- trigger: manual, nominal time {at:%Y-%m-%d %H:%M:%S} UTC"
    assert "s after its time" in lines[5]
    assert [line.split(" at ")[0] for line in lines[6:9]] == [
        f"- attempt {number} failed" for number in (1, 2, 3)
    ]
    assert lines[9].endswith("and 3 attempts")


async def test_an_open_run_tells_that_it_is_running(runs: Runs) -> None:
    """While the plugin works, the details and the search attributes say so."""
    task = runs.script(stay_open(heartbeats=True), lines="heartbeat_timeout: 5s")
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    assert "**RUNNING**" in await details_of(handle)
    found = await attributes_of(handle)
    assert (found["TaskStatus"], "DurationMs" in found) == ("RUNNING", False)
    await handle.cancel()
    await ended(handle)


async def test_the_plugin_names_the_activity_in_the_history(runs: Runs) -> None:
    """The activity's summary is the plugin, so that a history reads without decoding payloads."""
    handle = await runs.start(runs.script(succeed()))
    await handle.result()
    scheduled = [
        event
        for event in (await handle.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    assert [b"report-builder" in event.user_metadata.summary.data for event in scheduled] == [True]


async def test_a_call_is_made_on_the_queue_of_its_run_and_all_else_beside(runs: Runs) -> None:
    """There a worker gets the call with the answer to its workflow task, and no poll is needed."""
    task = runs.script(stay_open(heartbeats=True), heartbeat_timeout="5s")
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    await ended(handle)
    queues = {
        event.activity_task_scheduled_event_attributes.activity_type.name: (
            event.activity_task_scheduled_event_attributes.task_queue.name
        )
        for event in (await handle.fetch_history()).events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    }
    assert queues == {EXECUTE_PLUGIN: runs.queue, CANCEL_EXECUTION: plugin_queue(runs.queue)}
