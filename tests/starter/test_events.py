"""Events that come in start their runs: each once, whoever takes them and however often."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from domain.attributes import TASK_RUN
from domain.events_in import CloudEvent
from domain.ids import event_run_id
from domain.run import TaskRunInput
from shared.errors import TemporalUnreachable
from shared.metrics import EventIntakeMetrics
from shared.recovery import given_to
from starter import intake
from starter import runs as run_views
from starter.events import Received, receive
from starter.rates import Rates
from starter.rules import Rules
from starter.starting import start_run
from tests.starter.events import EventTenant
from tests.starter.harness import eventually_async
from tests.starter.limits import Limits


@pytest.fixture
def events(limits: Limits, tenant: str) -> EventTenant:
    """The test's own tenant, with workers for registries and none for runs."""
    return EventTenant(limits.client, limits.queue, tenant)


def _event(event_id: str = "o-1", amount: int = 150, **fields: Any) -> CloudEvent:
    return CloudEvent(event_id, "/shop", "order.created", data={"amount": amount}, **fields)


async def _knowing(events: EventTenant, *task_ids: str) -> Rules:
    """Rules of a process of its own that know these tasks."""
    rules = Rules(events.client_of, events.queue, EventIntakeMetrics(CollectorRegistry()))
    await rules.refresh_now()
    await rules.refresh_now([(events.tenant_id, task_id) for task_id in task_ids])
    return rules


def _run_ids(received: Sequence[Received]) -> list[str]:
    return [run.run_id for one in received for run in one.runs]


async def _count(events: EventTenant) -> int:
    query = f"WorkflowType = '{TASK_RUN}' AND TenantId = '{events.tenant_id}'"
    return (await events.client.count_workflows(query)).count


async def test_an_event_starts_a_run_of_each_task_that_it_matches(events: EventTenant) -> None:
    """With the event, found by lists from its first moment, with its priority and its times."""
    await events.register("a", {"event": "order.created"}, filter="data.amount > 100")
    await events.register("b", debounce="1h")
    await events.register("c", filter="data.amount > 200")
    await events.limit(3)
    rules = await _knowing(events, "a", "b", "c")
    before = datetime.now(UTC)
    (received,) = await receive(events.client, rules, events.tenant_id, [_event("o-17")])
    ids = [event_run_id(events.tenant_id, task_id, "/shop", "o-17") for task_id in ("a", "b", "c")]
    assert received.as_json() == {
        "id": "o-17",
        "source": "/shop",
        "type": "order.created",
        "runs": [{"task_id": "a", "run_id": ids[0]}, {"task_id": "b", "run_id": ids[1]}],
        "paused": [],
        "limited": [],
        "failed_filters": [],
        "note": None,
    }
    given = await given_to(events.client, ids[0])
    assert given
    assert isinstance(given.request, TaskRunInput)
    fire = given.request.event
    assert fire
    assert (fire.event, fire.rule, fire.debounce) == (_event("o-17").as_json(), 0, None)
    assert before <= fire.at <= datetime.now(UTC)
    assert given.request.limited
    described = await events.client.get_workflow_handle(ids[1]).describe()
    assert described.status is WorkflowExecutionStatus.RUNNING
    info = described.raw_description.workflow_execution_info
    assert (info.priority.fairness_key, info.priority.priority_key) == (events.tenant_id, 3)
    assert _found(described.typed_search_attributes) == {
        "TenantId": events.tenant_id,
        "TaskId": "b",
        "PluginId": "report-builder",
        "TaskStatus": "PENDING",
        "TriggerKind": "event",
    }
    view = await run_views.view_of(described)
    assert view
    assert view.nominal_time
    assert view.trigger_time
    assert view.trigger_time - view.nominal_time == timedelta(hours=1)
    assert view.as_json()["event"] == {"id": "o-17", "source": "/shop", "type": "order.created"}


def _found(attributes: TypedSearchAttributes) -> dict[str, Any]:
    ours = {pair.key.name: pair.value for pair in attributes}
    assert ours.pop("TriggerTime")
    return ours


@pytest.mark.fault(16)
async def test_the_same_event_a_hundred_times_at_once_is_one_run(events: EventTenant) -> None:
    """A hundred equal answers, of two processes, and of a limit of one each is allowed."""
    await events.register("a", max_events_per_minute=1)
    here, there = await _knowing(events, "a"), await _knowing(events, "a")
    answers = await asyncio.gather(
        *(
            receive(events.client, rules, events.tenant_id, [_event()])
            for rules in [here, there] * 50
        )
    )
    assert all(answer == answers[0] for answer in answers)
    assert _run_ids(answers[0]) == [event_run_id(events.tenant_id, "a", "/shop", "o-1")]
    run = events.client.get_workflow_handle(_run_ids(answers[0])[0])
    first = (await run.describe()).run_id
    await run.terminate()
    again = await receive(events.client, there, events.tenant_id, [_event()])
    assert again == answers[0]
    assert (await run.describe()).run_id == first
    counted = [_counted(rules) for rules in (here, there)]
    assert sum(count["started"] for count in counted) == 1
    assert sum(count["duplicates"] for count in counted) == 100
    assert sum(count["limited"] for count in counted) == 0


def _counted(rules: Rules) -> dict[str, float]:
    """Counters of a process by the last part of their names."""
    names = ("received", "matched", "unmatched", "failed_filters", "started", "duplicates")
    registry = rules.metrics.registry
    return {
        name: registry.get_sample_value(f"task_events_in_{name}_total") or 0.0
        for name in (*names, "limited", "paused")
    }


async def test_what_starts_nothing_says_so(events: EventTenant) -> None:
    """Unmatched, paused, or with a filter that cannot be evaluated: each is in the answer."""
    await events.register("a", filter="data.amount > 100")
    await events.register("b")
    await events.pause("b", paused=True)
    rules = await _knowing(events, "a", "b")
    known = CloudEvent("1", "/shop", "order.created", data={"amount": 1})
    other = CloudEvent("2", "/shop", "order.deleted")
    broken = CloudEvent("3", "/shop", "order.created", data={})
    answers = await receive(events.client, rules, events.tenant_id, [known, other, broken])
    assert [answer.paused for answer in answers] == [["b"], [], ["b"]]
    assert [bool(answer.note) for answer in answers] == [True, True, True]
    assert "every task that it matches is paused" in (answers[0].note or "")
    assert f"no event trigger of tenant '{events.tenant_id}'" in (answers[1].note or "")
    (failed,) = answers[2].failed_filters
    assert (failed.task_id, failed.rule) == ("a", 0)
    assert "amount" in failed.reason
    assert _run_ids(answers) == []
    foreign = await receive(events.client, rules, f"{events.tenant_id}-b", [known])
    assert foreign[0].note
    assert foreign[0].paused == []
    counted = _counted(rules)
    assert {name: counted[name] for name in ("received", "unmatched", "paused")} == {
        "received": 4,
        "unmatched": 2,
        "paused": 2,
    }
    assert counted["failed_filters"] == 1


async def test_a_rule_starts_no_more_in_a_minute_than_it_says(events: EventTenant) -> None:
    """Exactly so many of a process; the rest may come again, and what is there stays the answer."""
    await events.register("a", max_events_per_minute=5)
    await events.register("b")
    rules = await _knowing(events, "a", "b")
    batch = [_event(str(number)) for number in range(8)]
    answers = await receive(events.client, rules, events.tenant_id, batch)
    started = [one.id for one in answers if len(one.runs) == 2]
    assert len(started) == 5
    for answer in answers:
        if answer.id in started:
            assert answer.retry_after_s is None
        else:
            assert [run.task_id for run in answer.runs] == ["b"]
            assert [one.task_id for one in answer.limited] == ["a"]
            assert 50 < (answer.retry_after_s or 0) <= 60
    again = await receive(events.client, rules, events.tenant_id, batch)
    assert [one.id for one in again if len(one.runs) == 2] == started
    assert _counted(rules)["limited"] == 6


async def test_what_other_processes_started_counts(events: EventTenant) -> None:
    """By Temporal's list, which lags: a process that begins allows no whole minute anew."""
    await events.register("a", max_events_per_minute=3)
    here = await _knowing(events, "a")
    await receive(events.client, here, events.tenant_id, [_event(str(n)) for n in range(2)])
    await eventually_async(lambda: _listed(events, 2))
    there = await _knowing(events, "a")
    answers = await receive(
        events.client, there, events.tenant_id, [_event(str(n)) for n in range(10, 13)]
    )
    assert [len(answer.runs) for answer in answers] == [1, 0, 0]
    assert answers[-1].retry_after_s == 20


async def _listed(events: EventTenant, count: int) -> bool:
    return await _count(events) == count


async def test_a_minute_later_a_rule_may_start_again(events: EventTenant) -> None:
    """The minute slides: there is none in which more are started."""
    await events.register("a", max_events_per_minute=2)
    rules = await _knowing(events, "a")
    (rule,) = rules.index.match(events.tenant_id, _event()).rules
    now = [100.0]
    rates = Rates(clock=lambda: now[0])
    assert await rates.take(events.client, rule, "1") is None
    now[0] += 20
    assert await rates.take(events.client, rule, "2") is None
    assert await rates.take(events.client, rule, "3") == 40
    rates.give_back(rule, "2")
    assert await rates.take(events.client, rule, "3") is None
    now[0] += 39
    assert await rates.take(events.client, rule, "4") == 1
    now[0] += 1
    assert await rates.take(events.client, rule, "4") is None
    assert await rates.take(events.client, rule, "5") == 20


async def test_an_outage_is_no_answer_and_sending_again_does_no_harm(
    events: EventTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporal's answer is lost, or it is not asked: sent again, all runs are there, each once."""
    await events.register("a", max_events_per_minute=4)
    rules = await _knowing(events, "a")
    batch = [_event(str(number)) for number in range(4)]

    async def answering(*given: Any, **options: Any) -> bool:
        event_id = given[1].event.event["id"]
        if event_id == "1":
            await start_run(*given, **options)
        if event_id in ("1", "2"):
            raise RPCError("it is down", RPCStatusCode.UNAVAILABLE, b"")
        return await start_run(*given, **options)

    monkeypatch.setattr("starter.intake.start_run", answering)
    with pytest.raises(TemporalUnreachable):
        await receive(events.client, rules, events.tenant_id, batch)
    monkeypatch.setattr("starter.intake.start_run", start_run)
    answers: list[Received] = []

    async def sent_again() -> bool:
        try:
            answers[:] = await receive(events.client, rules, events.tenant_id, batch)
        except TemporalUnreachable:  # of what was under way from before
            return False
        return True

    await eventually_async(sent_again)
    assert len(_run_ids(answers)) == 4
    assert [answer.limited for answer in answers] == [[]] * 4
    await eventually_async(lambda: _listed(events, 4))


async def test_who_leaves_keeps_nobody_from_an_answer(events: EventTenant) -> None:
    """The first of two senders hangs up: the run is started once, and the other is told of it."""
    await events.register("a")
    rules = await _knowing(events, "a")
    first = asyncio.create_task(receive(events.client, rules, events.tenant_id, [_event()]))
    await asyncio.sleep(0)
    second = asyncio.create_task(receive(events.client, rules, events.tenant_id, [_event()]))
    await asyncio.sleep(0.005)
    first.cancel()
    assert len(_run_ids(await second)) == 1


async def test_what_comes_again_soon_asks_temporal_nothing(
    events: EventTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that took too long is sent again and comes further; a minute later it is asked."""
    await events.register("a")
    rules = await _knowing(events, "a")
    asked: list[str] = []

    async def counting(*given: Any, **options: Any) -> bool:
        asked.append(given[2])
        return await start_run(*given, **options)

    monkeypatch.setattr("starter.intake.start_run", counting)
    answers = [await receive(events.client, rules, events.tenant_id, [_event()]) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert len(asked) == 1
    monkeypatch.setattr(intake, "KNOWN_FOR", 0.0)
    assert await receive(events.client, rules, events.tenant_id, [_event()]) == answers[0]
    assert len(asked) == 2


async def test_the_events_of_one_request_keep_their_order(events: EventTenant) -> None:
    """A debounce lets the last one of them go."""
    await events.register("a", debounce="1m")
    rules = await _knowing(events, "a")
    batch = [_event(str(number)) for number in range(5)]
    answers = await receive(events.client, rules, events.tenant_id, batch)
    given = [await given_to(events.client, run_id) for run_id in _run_ids(answers)]
    times = [one.request.event.at for one in given if one and one.request.event]
    assert times == sorted(times)
    assert len(set(times)) == 5
