"""Counting how fires went, and latencies in little memory."""

from datetime import timedelta
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.levels import Fate, Latencies, Level
from domain.sla import SlaStatus
from domain.states import RunState

MILLISECOND = timedelta(milliseconds=1)


def latencies(milliseconds: list[int]) -> Latencies:
    """Those of so many fires."""
    made = Latencies()
    for one in milliseconds:
        made.add(one * MILLISECOND)
    return made


@given(
    st.lists(st.integers(-1000, 10**8), min_size=1, max_size=60),
    st.integers(0, 60),
    st.sampled_from([0.5, 0.9, 0.99, 1.0]),
)
def test_a_percentile_is_that_of_the_sorted_list_to_three_digits(
    milliseconds: list[int], cut: int, share: float
) -> None:
    """By nearest rank, whether they were counted together or apart; none is below zero."""
    counted = latencies(milliseconds[:cut])
    counted.merge(latencies(milliseconds[cut:]))

    exact = sorted(max(0, one) for one in milliseconds)[ceil(share * len(milliseconds)) - 1] / 1000

    found = counted.percentile(share)
    assert found == pytest.approx(exact, rel=0.006)
    assert exact >= 1 or found == exact


def test_many_latencies_take_little_memory() -> None:
    """A report over a million runs holds no million of numbers."""
    counted = latencies(list(range(0, 10**7, 97)))

    assert len(counted._counts) < 5_000
    assert counted.percentile(0.5) == pytest.approx(5_000, rel=0.006)
    assert Latencies().percentile(0.5) is None


def test_rates_leave_out_what_nobody_can_help() -> None:
    """What a rule skipped, what is not over, and what somebody cancelled count neither way."""
    level, other = Level(), Level()
    assert (level.on_time_rate, level.success_rate) == (None, None)
    for fate in (Fate.ON_TIME, Fate.LATE, Fate.SKIPPED, Fate.WAITING):
        level.fire(fate)
    other.fire(Fate.MISSED, count=2)
    for status in (RunState.SUCCESS, RunState.COMPENSATED, RunState.CANCELLED, RunState.RUNNING):
        level.run(status, began=True, retries=1, sla=SlaStatus.WARNED)
    other.run(RunState.FAILED, began=False, retries=0, sla=SlaStatus.FINISH_BREACHED)

    level.merge(other)

    assert (level.due, level.on_time_rate, level.success_rate) == (6, 0.25, 0.333333)
    assert (level.runs, level.retries, level.breaches) == (4, 4, 1)
