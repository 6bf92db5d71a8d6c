"""The demo's verdict: it passes only what happened exactly once and ended as scripted."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.executions import compensation_key
from domain.ids import scheduled_run_id
from domain.states import RunState
from sandbox.client import Delivery
from starter.demo.scenario import Expected, Key
from starter.demo.verdict import judge
from starter.runs import RunView

AT = datetime(2026, 11, 23, 8, 0, 10, tzinfo=UTC)
UNTIL = AT + timedelta(seconds=5)
RUN_ID = scheduled_run_id("acme", "sync", AT)
KEY = ("acme", "sync")
EXPECTED = {KEY: Expected(status=RunState.SUCCESS, attempts=2, effects=1)}


def run_view() -> RunView:
    """The run as it is scripted."""
    return RunView(
        run_id=RUN_ID,
        temporal_run_id="r",
        tenant_id="acme",
        task_id="sync",
        plugin_id="billing",
        trigger_kind="interval",
        nominal_time=AT,
        trigger_time=AT,
        actual_start=AT,
        ended_at=AT,
        duration_ms=10,
        status=RunState.SUCCESS,
        reason=None,
        retry_count=1,
        error_code=None,
    )


def delivery(attempt: int, effect: int | None) -> Delivery:
    """One call of the run's plugin."""
    return Delivery(
        key=RUN_ID,
        delivery=attempt,
        attempt=attempt,
        fence=attempt,
        plugin_id="billing",
        tenant_id="acme",
        task_id="sync",
        run_id=RUN_ID,
        traceparent="00-0-0-01",
        started_at=AT,
        ended_at=AT,
        outcome="ok",
        effect=effect,
    )


CALLS = [delivery(1, None), delivery(2, 1)]


def test_passes_what_ended_as_scripted() -> None:
    """One run for one fire, with its retry and its single effect, leaves nothing to find."""
    verdict = judge({RUN_ID: KEY}, [run_view()], CALLS, EXPECTED, UNTIL)
    assert verdict.ok, verdict.findings
    assert verdict.line.startswith("PASS: 1 runs")


@pytest.mark.parametrize(
    ("runs", "calls", "finding"),
    [
        ([], [], "missing"),
        ([run_view(), run_view()], CALLS, "seen twice"),
        ([replace(run_view(), status=RunState.FAILED)], CALLS, "status FAILED"),
        ([replace(run_view(), error_code="X")], CALLS, "error code X"),
        ([replace(run_view(), retry_count=0)], CALLS, "retries 0"),
        ([run_view()], CALLS[1:], "calls 1"),
        ([run_view()], [delivery(1, 1), delivery(2, 2)], "effects 2"),
    ],
)
def test_finds_every_difference(
    runs: Sequence[RunView], calls: Sequence[Delivery], finding: str
) -> None:
    """Whatever is not as scripted is named, and the verdict is a failure."""
    verdict = judge({RUN_ID: KEY}, runs, calls, EXPECTED, UNTIL)
    assert not verdict.ok
    assert any(finding in text for text in verdict.findings), verdict.findings


def test_finds_a_run_that_was_not_due() -> None:
    """A run too many is a finding, unless it fired after the demo's last moment."""
    extra = replace(run_view(), run_id=scheduled_run_id("acme", "sync", AT - timedelta(seconds=3)))
    verdict = judge({RUN_ID: KEY}, [run_view(), extra], CALLS, EXPECTED, UNTIL)
    assert any("not due" in text for text in verdict.findings)
    late = replace(run_view(), run_id="late", trigger_time=UNTIL + timedelta(seconds=1))
    assert judge({RUN_ID: KEY}, [run_view(), late], CALLS, EXPECTED, UNTIL).ok


@pytest.mark.parametrize(("gap", "collides"), [(-1, True), (0, False), (1, False)])
def test_finds_runs_of_a_group_that_were_under_way_at_once(gap: int, *, collides: bool) -> None:
    """From its first call to the end of its last, a run has its mutex group to itself."""
    other_id = scheduled_run_id("acme", "count", AT)
    other = replace(run_view(), run_id=other_id, task_id="count")
    end = AT + timedelta(seconds=2)
    mine = [call.model_copy(update={"ended_at": end}) for call in CALLS]
    start = end + timedelta(seconds=gap)
    theirs = [
        call.model_copy(update={"key": other_id, "started_at": start, "ended_at": start})
        for call in CALLS
    ]
    count = ("acme", "count")
    verdict = judge(
        {RUN_ID: KEY, other_id: count},
        [run_view(), other],
        [*mine, *theirs],
        EXPECTED | {count: EXPECTED[KEY]},
        UNTIL,
        groups={"acme/warehouse": frozenset({KEY, count})},
    )
    assert any("acme/warehouse was held by" in text for text in verdict.findings) is collides


def test_fails_when_nothing_was_due() -> None:
    """A demo in which nothing happens has proven nothing."""
    assert not judge({}, [], [], EXPECTED, UNTIL).ok


def test_what_follows_on_a_failure_happens_once() -> None:
    """A compensation or a work order that is lacking, doubled or not scripted is a finding."""
    scripted = {KEY: EXPECTED[KEY].model_copy(update={"compensated": True, "work_order": True})}
    undone = delivery(1, 2).model_copy(update={"key": compensation_key(RUN_ID)})
    again = undone.model_copy(update={"delivery": 2, "effect": 3})
    run = [run_view()]

    def findings(
        calls: list[Delivery], announced: list[str], expected: dict[Key, Expected]
    ) -> list[str]:
        found = judge({RUN_ID: KEY}, run, calls, expected, UNTIL, announced=announced).findings
        return [finding.removeprefix(f"{RUN_ID}: ") for finding in found]

    assert findings([*CALLS, undone], [RUN_ID], scripted) == []
    assert findings(CALLS, [], scripted) == [
        "compensations 0, scripted 1",
        "work orders 0, scripted 1",
    ]
    assert findings([*CALLS, undone, again], [RUN_ID, RUN_ID], scripted) == [
        "compensations 2, scripted 1",
        "work orders 2, scripted 1",
    ]
    assert findings([*CALLS, undone], [RUN_ID], EXPECTED) == [
        "compensations 1, scripted 0",
        "work orders 1, scripted 0",
    ]
