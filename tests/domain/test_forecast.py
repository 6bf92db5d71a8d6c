"""The forecast: what the ledger will decide, before it has to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import forecast as module
from domain.admission import Ledger
from domain.agenda import Span
from domain.decisions import Request
from domain.durations import Durations
from domain.forecast import forecast
from domain.ids import scheduled_run_id
from domain.ledger_state import state_of
from domain.limits import TenantLimits, demand_of
from domain.simulation import Job, Outcome, Simulation
from domain.task import Task
from tests.conftest import task_of
from tests.domain.ahead import START, ahead, nightly, told, with_sla

WAREHOUSE: dict[str, Any] = {"mutex": ["warehouse"]}


def test_who_shares_a_mutex_waits_for_the_holder() -> None:
    """The run that comes second waits until the first, as long as its runs take, has ended."""
    found = ahead(nightly("first", **WAREHOUSE), nightly("second", 1, **WAREHOUSE))

    [conflict] = found.conflicts
    assert told(conflict) == ("mutex", "warehouse", ("second", "first"), 180.0, Outcome.WAITS)
    assert conflict.at == datetime(2026, 11, 23, 2, 1, tzinfo=UTC)
    assert conflict.run_id == scheduled_run_id("acme", "second", conflict.at)
    assert (found.tasks, found.fires, found.total) == (2, 2, 1)


@pytest.mark.parametrize(
    ("seconds", "said"), [(180.0, "waits 3m for"), (0.4, "waits less than 1s for")]
)
def test_how_long_it_waits_is_said_in_words(seconds: float, said: str) -> None:
    """A wait that is too short to be told is not told as none."""
    found = ahead(nightly("first", **WAREHOUSE), nightly("second", 1, **WAREHOUSE))
    [conflict] = found.conflicts
    sentence = replace(conflict, wait_s=seconds).sentence()
    assert sentence.endswith(f" {said} mutex group warehouse, held by first")


@pytest.mark.parametrize(
    ("fields", "outcome", "wait"),
    [
        ({"on_conflict": "skip"}, Outcome.SKIPPED, None),
        ({"on_conflict": "fail"}, Outcome.FAILED, None),
        ({"on_conflict": "warn"}, Outcome.RUNS_BESIDE, 0.0),
        ({"queue_timeout": "2m"}, Outcome.QUEUE_TIMEOUT, None),
        ({"queue_timeout": "5m"}, Outcome.WAITS, 180.0),
    ],
)
def test_what_becomes_of_a_run_is_what_its_rule_says(
    fields: dict[str, Any], outcome: Outcome, wait: float | None
) -> None:
    """Each rule of `on_conflict`, and the deadline of a run that queues."""
    found = ahead(nightly("a", **WAREHOUSE), nightly("b", 1, **WAREHOUSE, **fields))
    assert [told(c) for c in found.conflicts] == [("mutex", "warehouse", ("b", "a"), wait, outcome)]


@pytest.mark.parametrize(
    ("fields", "limits", "resource"),
    [
        ({}, TenantLimits(max_concurrent=1), "max_concurrent"),
        ({"resources": {"gpu": 2}}, TenantLimits(resources={"gpu": 3}), "gpu"),
    ],
)
def test_a_quota_that_is_used_up_is_a_conflict(
    fields: dict[str, Any], limits: TenantLimits, resource: str
) -> None:
    """The tenant's concurrency and its resources alike."""
    found = ahead(nightly("a", **fields), nightly("b", 3, **fields), limits=limits)
    assert [told(c) for c in found.conflicts] == [
        ("quota", resource, ("b", "a"), 60.0, Outcome.WAITS)
    ]


def test_a_demand_above_the_limit_fails_every_time() -> None:
    """The limit was lowered after the task was registered."""
    found = ahead(nightly("a", resources={"gpu": 2}), limits=TenantLimits(resources={"gpu": 1}))
    [conflict] = found.conflicts
    assert told(conflict) == ("quota", "gpu", ("a",), None, Outcome.FAILED)
    assert conflict.proposal is None


@pytest.mark.parametrize(
    ("overlap", "outcomes"),
    [
        ("skip", [Outcome.SKIPPED] * 2),
        ("queue", [Outcome.WAITS] * 4),
        ("allow", []),
        ("cancel_running", [Outcome.CANCELS] * 4),
    ],
)
def test_a_task_that_is_longer_than_its_interval_meets_itself(
    overlap: str, outcomes: list[Outcome]
) -> None:
    """What its overlap rule makes of that; moving all its fires would not help."""
    task = task_of(
        triggers=[{"every": "10m"}],
        overlap=overlap,
        expected_duration="12m",
        queue_timeout="1h",
    )
    found = ahead(task, hours=5 / 6)
    assert [c.outcome for c in found.conflicts] == outcomes
    assert {(c.kind, c.resource, c.proposal) for c in found.conflicts} <= {
        ("mutex", "overlap", None)
    }


def test_blackouts_skip_and_put_off() -> None:
    """The window holds its start; who is put off asks when it ends."""
    window = {"cron": "30 1 * * *", "duration": "1h"}
    found = ahead(
        nightly("gone", blackouts=[window]),
        nightly("late", blackouts=[{**window, "then": "defer"}], **WAREHOUSE),
        nightly("other", 29, **WAREHOUSE),
    )
    assert [told(c) for c in found.conflicts] == [
        ("blackout", "30 1 * * *", ("gone",), None, Outcome.SKIPPED),
        ("blackout", "30 1 * * *", ("late",), 1800.0, Outcome.WAITS),
        ("mutex", "warehouse", ("late", "other"), 180.0, Outcome.WAITS),
    ]


def test_an_sla_at_risk_is_a_conflict_of_its_own() -> None:
    """By the wait, and by the wait and the length together."""
    first = nightly("first", **WAREHOUSE)
    starts_late = with_sla(nightly("starts", 2, **WAREHOUSE), start_s=60, finish_s=3600)
    long = with_sla(nightly("long", 40), start_s=60, finish_s=200)
    unknown = with_sla(nightly("unknown", 50, expected_duration=None), start_s=60, finish_s=20)

    found = ahead(first, starts_late, long, unknown)

    assert [told(c) for c in found.conflicts if c.kind == "sla"] == [
        ("sla", "start_within", ("starts", "first"), 120.0, Outcome.WAITS),
        ("sla", "finish_within", ("long",), 0.0, Outcome.WAITS),
    ]


def test_learned_durations_decide_how_long_others_wait() -> None:
    """The median, whatever the task once said."""
    durations = Durations([(("acme", "a"), [60.0, 90.0, 3000.0])])
    found = ahead(nightly("a", **WAREHOUSE), nightly("b", 1, **WAREHOUSE), durations=durations)
    assert [c.wait_s for c in found.conflicts] == [30.0]


def test_a_paused_task_neither_fires_nor_holds() -> None:
    """Its last span is over."""
    a, b = nightly("a", **WAREHOUSE), nightly("b", **WAREHOUSE)
    since = START - timedelta(days=1)
    found = forecast(
        {("acme", "a"): (Span(since, START, a),), ("acme", "b"): (Span(since, None, b),)},
        {},
        Durations(),
        start=START,
        end=START + timedelta(days=1),
    )
    assert (found.tasks, found.fires, found.conflicts) == (1, 1, [])


def test_runs_under_way_are_in_the_way() -> None:
    """A holder of now ends when its task's runs do; one that waits already goes before."""
    holder, waiter, late = (nightly(name, **WAREHOUSE) for name in ("held", "waiting", "late"))
    now = START.timestamp()
    ledger = Ledger(TenantLimits())
    ledger.decide(Request("run/1", demand_of(holder), now - 60, now + 600), now - 60)
    ledger.decide(Request("run/2", demand_of(waiter), now - 50, now + 600), now - 50)
    soon = late.model_copy(update={"triggers": task_of(triggers=[{"every": "2m"}]).triggers})

    found = ahead(soon, holder, waiter, hours=1 / 30, ledgers={"acme": state_of(ledger)})

    [conflict] = found.conflicts
    # held ends at 3 min; then the one that waited already, for 4.
    assert told(conflict) == ("mutex", "warehouse", ("late", "held"), 300.0, Outcome.WAITS)


def test_the_night_in_which_the_clock_is_put_back() -> None:
    """A fixed time that comes twice on the clock fires once; the conflict is at its first pass."""
    zone = "Europe/Berlin"
    fixed = nightly("fixed", triggers=[{"cron": "30 2 * * *", "timezone": zone}], **WAREHOUSE)
    star = nightly("star", triggers=[{"cron": "30 * * * *", "timezone": zone}], **WAREHOUSE)
    found = ahead(fixed, star, start=datetime(2026, 10, 24, 22, tzinfo=UTC), hours=6)
    assert found.fires == 7
    assert [(c.at, c.tasks) for c in found.conflicts] == [
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), ("star", "fixed"))
    ]


def test_too_many_conflicts_are_counted_and_the_first_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A forecast takes bounded memory."""
    monkeypatch.setattr(module, "MOST_CONFLICTS", 10)
    tasks = [task_of(task_id=f"t{n}", expected_duration="1s", **WAREHOUSE) for n in range(5)]
    found = ahead(*tasks, propose=False)
    assert found.total == 4 * 96
    assert len(found.conflicts) == 10
    assert found.conflicts[-1].at == START + timedelta(minutes=45)


needs: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "mutex": st.lists(st.sampled_from(["x", "y"]), unique=True),
        "resources": st.dictionaries(st.just("gpu"), st.integers(1, 2)),
        "overlap": st.sampled_from(["skip", "queue", "allow", "cancel_running"]),
        "on_conflict": st.sampled_from(["queue", "queue", "skip", "fail", "warn"]),
        "queue_timeout": st.sampled_from(["1m", "10m", "2h"]),
        "expected_duration": st.sampled_from(["30s", "7m", "25m"]),
        "priority": st.integers(1, 5),
        "jitter": st.sampled_from(["0s", "0s", "40s"]),
        "triggers": st.sampled_from(
            [
                [{"every": "15m"}],
                [{"every": "20m", "offset": "3m"}],
                [{"cron": "*/30 * * * *"}],
                [{"cron": "5 1-4 * * *", "timezone": "Europe/Berlin"}],
            ]
        ),
    }
)
taskses = st.lists(needs, min_size=1, max_size=5).map(
    lambda found: [task_of(**{**said, "task_id": f"t{n}"}) for n, said in enumerate(found)]
)


@given(taskses, st.none() | st.integers(1, 3))
def test_every_wait_names_who_is_in_the_way(tasks: list[Task], most: int | None) -> None:
    """And ends in time: no run waits for longer than its queue_timeout, or than for ever."""
    limits = TenantLimits(max_concurrent=most, resources={"gpu": 2})
    found = ahead(*tasks, limits=limits, hours=4, propose=False)
    timeouts = {task.task_id: task.queue_timeout.total_seconds() for task in tasks}
    for conflict in found.conflicts:
        assert len(conflict.tasks) > 1, conflict
        assert set(conflict.tasks) <= timeouts.keys()
        if conflict.outcome is Outcome.WAITS:
            assert conflict.wait_s is not None
            assert 0 <= conflict.wait_s <= timeouts[conflict.tasks[0]]
    assert all(before.at <= after.at for before, after in pairwise(found.conflicts))


@given(taskses)
def test_nobody_conflicts_where_nothing_is_limited(tasks: list[Task]) -> None:
    """Without mutex groups and overlap rules, no limit is no conflict."""
    free = [t.model_copy(update={"mutex": [], "overlap": "allow"}) for t in tasks]
    assert ahead(*free, hours=4).conflicts == []


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 3), st.integers(1, 30)), max_size=30))
def test_a_mutex_group_has_one_holder_at_a_time(runs: list[tuple[int, int, int]]) -> None:
    """What the simulation says of waits, put together: no two runs hold it at one time."""
    jobs = {}
    arrivals = []
    for number, (at, _, seconds) in enumerate(sorted(runs)):
        task = task_of(task_id=f"t{number}", overlap="allow", **WAREHOUSE)
        jobs[task.task_id] = Job(task.task_id, demand_of(task), float(seconds), 0.0)
        arrivals.append((float(at), f"run-{number:02}", task.task_id))
    waits = {
        met.run_id: met.wait for met in Simulation(Ledger(TenantLimits()), jobs).run(arrivals, 0.0)
    }
    held = sorted(
        (at + (waits.get(run_id) or 0.0), jobs[task_id].median_s)
        for at, run_id, task_id in arrivals
    )
    assert all(at + seconds <= after for (at, seconds), (after, _) in pairwise(held))
    assert all(wait is not None for wait in waits.values())
