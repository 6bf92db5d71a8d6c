"""What the watch makes of a fire: each rule, and every fire counted once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agenda import Fire
from domain.limits import skips_in_temporal
from domain.watch import (
    MOST_RECORDS,
    RECORDS,
    TOLERANCE,
    Counts,
    Decision,
    SeenRun,
    Verdict,
    decide,
    judge_run,
    summarise,
)
from tests.conftest import task_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIRE = Fire(NOON, ("acme", "daily-report"), NOON)
SECOND = timedelta(seconds=1)


def run(
    at: datetime,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    record: bool = False,
) -> SeenRun:
    """A run of the task, under way unless it has an end."""
    return SeenRun(f"run-{at:%H%M%S}", at, start, end, end is None, record)


@pytest.mark.parametrize(
    ("start", "age", "verdict"),
    [
        (SECOND, timedelta(minutes=5), Verdict.ON_TIME),
        (TOLERANCE, timedelta(minutes=5), Verdict.ON_TIME),
        (TOLERANCE + SECOND, timedelta(minutes=5), Verdict.LATE),
        (None, TOLERANCE - SECOND, Verdict.WAITING),
        (None, TOLERANCE, Verdict.LATE),
    ],
)
def test_on_time_is_within_a_minute(
    start: timedelta | None, age: timedelta, verdict: Verdict
) -> None:
    """A run is on time by when it started; not started, it is late as soon as it must be."""
    seen = run(NOON, start=NOON + start if start else None)
    assert judge_run(NOON, seen, now=NOON + age) is verdict


def test_a_run_put_off_by_a_blackout_is_judged_by_its_new_time() -> None:
    """It waits on purpose until then, and a run that a rule skipped is neither late nor missed."""
    seen = replace(run(NOON), trigger_time=NOON + timedelta(hours=2))
    assert judge_run(NOON, seen, now=NOON + timedelta(hours=1)) is Verdict.WAITING
    started = replace(seen, actual_start=NOON + timedelta(hours=2))
    assert judge_run(NOON, started, now=NOON + timedelta(hours=3)) is Verdict.ON_TIME
    skipped = replace(run(NOON, end=NOON + SECOND), skipped=True)
    assert judge_run(NOON, skipped, now=NOON + timedelta(hours=1)) is Verdict.SKIPPED


def test_a_run_that_ended_before_it_started_was_late() -> None:
    """Cancelled before a worker had it: nothing is left to wait for."""
    assert judge_run(NOON, run(NOON, end=NOON + SECOND), now=NOON + SECOND) is Verdict.LATE


@pytest.mark.parametrize(("late", "verdict"), [("10m", Verdict.STARTED), ("10m1s", Verdict.MISSED)])
def test_the_catchup_window_is_the_tasks(late: str, verdict: Verdict) -> None:
    """To its last instant a fire is run; after it the record says by how much it was missed."""
    task = task_of(catchup="10m")
    age = timedelta(minutes=10, seconds=1 if late.endswith("1s") else 0)
    decision = decide(FIRE, task, now=NOON + age)
    assert decision.verdict is verdict
    assert verdict is Verdict.STARTED or f"found {late} late" in decision.reason


def test_a_foreign_pause_is_a_reason_of_its_own() -> None:
    """What an operator paused in Temporal is not run against the operator's will."""
    decision = decide(FIRE, task_of(), now=NOON + SECOND, paused_in_temporal=True)
    assert decision.verdict is Verdict.SKIPPED
    assert "paused in Temporal" in decision.reason


@pytest.mark.parametrize(
    ("before", "skipped"),
    [
        (run(NOON - SECOND), True),
        (run(NOON - SECOND, end=NOON + SECOND), True),
        (run(NOON - SECOND, end=NOON), False),
        (run(NOON - SECOND, end=NOON + SECOND, record=True), False),
        (run(NOON + SECOND), False),
    ],
)
def test_overlap_skip_looks_at_the_nominal_time(before: SeenRun, *, skipped: bool) -> None:
    """A run of an earlier time that was under way then keeps the fire out; a record never does."""
    decision = decide(FIRE, task_of(), now=NOON + SECOND, skips=True, runs=[before])
    assert (decision.verdict is Verdict.SKIPPED) is skipped
    assert not skipped or before.run_id in decision.reason
    allowed = decide(FIRE, task_of(), now=NOON + SECOND, runs=[before])
    assert allowed.verdict is Verdict.STARTED


@pytest.mark.parametrize(
    ("lines", "limited", "verdict"),
    [
        ("", False, Verdict.SKIPPED),
        ("", True, Verdict.STARTED),
        ("mutex: [m]", False, Verdict.STARTED),
        ("resources: {gpu: 1}", False, Verdict.STARTED),
    ],
)
def test_a_governed_fire_is_started_whatever_else_runs(
    lines: str, verdict: Verdict, *, limited: bool
) -> None:
    """Its schedule would have made a run too: whether that overlaps, the governor decides."""
    task = task_of(lines, overlap="skip")
    skips = skips_in_temporal(task, limited=limited)
    before = run(NOON - SECOND)
    decision = decide(FIRE, task, now=NOON + SECOND, skips=skips, runs=[before])
    assert decision.verdict is verdict


verdicts = st.sampled_from([Verdict.STARTED, Verdict.MISSED, Verdict.SKIPPED])
keys = st.tuples(st.just("acme"), st.sampled_from("abc"))


@given(st.lists(st.tuples(keys, verdicts), max_size=120))
def test_a_summary_counts_every_fire_once(found: list[tuple[tuple[str, str], Verdict]]) -> None:
    """Few records for each task, all starts, in order, and `more` is exactly the rest."""
    decisions = [
        Decision(Fire(NOON + index * SECOND, key, NOON + index * SECOND), verdict, "why")
        for index, (key, verdict) in enumerate(found)
    ]
    kept = summarise(decisions)
    assert [d.fire for d in kept] == sorted(d.fire for d in kept)
    for verdict in (Verdict.STARTED, Verdict.MISSED, Verdict.SKIPPED):
        for task in "abc":
            own = [d for d in decisions if d.verdict is verdict and d.fire.key[1] == task]
            left = [d for d in kept if d.verdict is verdict and d.fire.key[1] == task]
            assert len(own) == len(left) + sum(d.more for d in left)
            assert verdict not in RECORDS or len(left) <= MOST_RECORDS
            assert all(f"{d.more} more until" in d.reason for d in left if d.more)


def test_counts_add_up() -> None:
    """Totals are the sum of ticks, field by field."""
    one = Counts(due=3, on_time=1, waiting=1, missed=1)
    assert one.plus_all(one) == Counts(due=6, on_time=2, waiting=2, missed=2)
    assert one.plus(late=1, waiting=-1).waiting == 0
