"""Which rules an event matches: whose, in which order, and that thousands of others are free."""

import random
from time import process_time
from typing import Any

from domain.events_in import CloudEvent
from domain.rules import Matches, RuleIndex, RuleSource
from domain.task import EventTrigger, Task
from tests.conftest import task_of

_EVENT = CloudEvent("e-1", "/shop", "order.created", data={"amount": 150})
_LEAST = task_of()


def source(
    task_id: str,
    *triggers: dict[str, Any],
    tenant_id: str = "acme",
    paused: bool = False,
) -> RuleSource:
    """A task with these event triggers."""
    update = {
        "tenant_id": tenant_id,
        "task_id": task_id,
        "triggers": [*_LEAST.triggers, *(EventTrigger(**trigger) for trigger in triggers)],
    }
    task: Task = _LEAST.model_copy(update=update)
    return RuleSource(task, weight=1.0, task_queue="q", paused=paused, limited=False)


def told(matches: Matches) -> dict[str, list[tuple[str, int]]]:
    """Task and place of every rule, by what became of it."""
    return {
        "rules": [(rule.task.task_id, rule.index) for rule in matches.rules],
        "paused": [(rule.task.task_id, rule.index) for rule in matches.paused],
        "failed": [(failed.rule.task.task_id, failed.rule.index) for failed in matches.failed],
    }


def test_the_first_rule_of_each_task_matches_by_tenant_and_exact_type() -> None:
    """In the order of task ids, however the tasks come; other types and tenants are not met."""
    created = {"event": "order.created"}
    sources = [
        source("c", created, created),
        source("b", {"event": "order.created", "filter": "data.amount > 200"}, created),
        source("a", {"event": "order.created.v2"}, {"event": "order"}, {"event": "Order.created"}),
        source("a2", {"event": "order.*"}),
        source("d", created, tenant_id="beta"),
        source("e"),
    ]
    for _ in range(5):
        random.shuffle(sources)
        index = RuleIndex.of(sources)
        assert told(index.match("acme", _EVENT))["rules"] == [("b", 2), ("c", 1)]
    assert told(index.match("beta", _EVENT))["rules"] == [("d", 1)]
    assert index.match("nobody", _EVENT) == Matches()
    assert len(index) == 9
    [rule] = index.match("beta", _EVENT).rules
    assert rule.trigger == EventTrigger(event="order.created")


def test_paused_tasks_are_told_apart() -> None:
    """What they would have started is known, and is not started."""
    matched = {"event": "order.created", "filter": "data.amount > 100"}
    other = {"event": "order.created", "filter": "data.amount > 200"}
    index = RuleIndex.of([source("a", matched, paused=True), source("b", other, paused=True)])
    assert told(index.match("acme", _EVENT)) == {"rules": [], "paused": [("a", 1)], "failed": []}


def test_a_filter_that_fails_is_told_and_the_next_rule_is_tried() -> None:
    """Neither a missing field nor a filter of another version breaks an event."""
    missing = {"event": "order.created", "filter": "data.total > 1"}
    older = {"event": "order.created", "filter": "data.amount >> 1"}
    costly = {"event": "order.created", "filter": "data.a.map(x, x).size() > 0"}
    index = RuleIndex.of(
        [source("a", missing, older, {"event": "order.created"}), source("b", costly)]
    )
    matches = index.match("acme", _EVENT)
    assert told(matches) == {
        "rules": [("a", 3)],
        "paused": [],
        "failed": [("a", 1), ("a", 2), ("b", 1)],
    }
    reasons = [failed.reason for failed in matches.failed]
    assert reasons[0] == 'the event has no "total"'
    assert reasons[1].startswith("not valid CEL, column 14")
    assert "cost too much" in reasons[2]


def test_an_event_meets_its_rules_among_ten_thousand_within_milliseconds() -> None:
    """A hundred filters are evaluated, ten thousand rules are not looked at."""
    sources = [
        source(
            f"task-{number:05}",
            {
                "event": f"type-{number % 100}",
                "filter": f"data.amount > {number % 1000} && data.region == 'eu'",
            },
        )
        for number in range(10_000)
    ]
    index = RuleIndex.of(sources)
    event = CloudEvent("e-1", "/shop", "type-7", data={"amount": 507, "region": "eu"})
    first = index.match("acme", event)  # compiles
    began = process_time()
    for _ in range(10):
        assert index.match("acme", event) == first
    assert (process_time() - began) / 10 < 0.1
    assert len(first.rules) == 50
    assert not first.failed
