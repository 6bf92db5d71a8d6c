"""The simulation: which conflicts a governor will take note of, and runs that it knows already."""

from datetime import timedelta
from typing import Any

import pytest

from domain.admission import Ledger
from domain.decisions import Request
from domain.ids import scheduled_run_id
from domain.ledger_state import state_of
from domain.limits import TenantLimits, demand_of
from domain.simulation import Outcome
from tests.conftest import task_of
from tests.domain.ahead import START, ahead, nightly, with_sla

WAREHOUSE: dict[str, Any] = {"mutex": ["warehouse"]}


@pytest.mark.parametrize("rule", ["queue", "skip", "fail", "warn"])
def test_what_meets_others_is_noted(rule: str) -> None:
    """Whatever the rule makes of it."""
    found = ahead(nightly("a", **WAREHOUSE), nightly("b", 1, on_conflict=rule, **WAREHOUSE))
    assert [c.noted for c in found.conflicts] == [True]


def test_what_no_governor_is_asked_about_is_not_noted() -> None:
    """A blackout, an SLA at risk, an overlap that Temporal itself skips, and the impossible."""
    window = {"cron": "30 1 * * *", "duration": "1h"}
    alone: dict[str, Any] = {
        "triggers": [{"every": "10m"}],
        "expected_duration": "12m",
        "overlap": "skip",
    }
    found = ahead(
        nightly("dark", blackouts=[window]),
        with_sla(nightly("long", 40), start_s=60, finish_s=200),
        task_of(task_id="alone", **alone),
        nightly("greedy", 50, resources={"gpu": 9}),
        limits=TenantLimits(resources={"gpu": 1}),
    )
    assert {c.tasks[0] for c in found.conflicts} == {"dark", "long", "alone", "greedy"}
    assert not any(c.noted for c in found.conflicts)


def test_a_run_that_waits_already_is_told_as_it_is_and_noted_no_more() -> None:
    """It is due in the window and asked before the ledger was read: its conflict is known."""
    first, second = nightly("first", **WAREHOUSE), nightly("second", **WAREHOUSE)
    at = START + timedelta(hours=2)
    now, end = at.timestamp(), at.timestamp() + 600
    ledger = Ledger(TenantLimits())
    for task in (first, second):
        run_id = scheduled_run_id("acme", task.task_id, at)
        ledger.decide(Request(run_id, demand_of(task), now, end), now)

    start = at - timedelta(seconds=1)
    found = ahead(first, second, start=start, hours=0.1, ledgers={"acme": state_of(ledger)})

    [conflict] = found.conflicts
    assert (conflict.resource, conflict.tasks) == ("warehouse", ("second", "first"))
    assert (conflict.outcome, conflict.wait_s, conflict.noted) == (Outcome.WAITS, 240.0, False)


@pytest.mark.parametrize(("slack", "waits"), [(0.0, []), (0.3, [0.3])])
def test_a_near_conflict_shows_when_runs_may_last_a_little_longer(
    slack: float, waits: list[float]
) -> None:
    """Due at the very moment at which the run before it should have ended."""
    first, second = nightly("first", **WAREHOUSE), nightly("second", 4, **WAREHOUSE)
    found = ahead(first, second, slack_s=slack)
    assert [round(c.wait_s or 0, 3) for c in found.conflicts] == waits
