"""Stagger and jitter: spread, stable, and the same as the server's."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.farmhash import fingerprint32
from domain.jitter import jitter_seed, stagger_offset, trigger_time

_SEED = jitter_seed("01a2077c-5245-707f-aa25-df6dbbe26fee", "schedule/acme/daily-report")
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def test_stagger_spreads_a_thousand_tasks_evenly() -> None:
    """Over five minutes, no ten seconds get more than twice their share of 1,000 tasks."""
    window = timedelta(minutes=5)
    buckets = Counter(
        stagger_offset("acme", f"task-{number}", window) // timedelta(seconds=10)
        for number in range(1000)
    )
    assert set(buckets) == set(range(30))
    assert max(buckets.values()) <= 2 * 1000 / 30


@given(st.text(max_size=20), st.text(max_size=20), st.timedeltas(timedelta(0), timedelta(days=9)))
def test_stagger_is_whole_seconds_inside_its_window(
    tenant: str, task: str, window: timedelta
) -> None:
    """A stagger never reaches the end of its window, and none is no stagger."""
    offset = stagger_offset(tenant, task, window)
    assert not offset % timedelta(seconds=1)
    assert timedelta(0) <= offset < max(window, timedelta(microseconds=1))


def test_stagger_never_changes() -> None:
    """The offsets of tasks that are registered already stay what they are."""
    window = timedelta(minutes=5)
    offsets = [stagger_offset("acme", name, window).seconds for name in ("a", "b", "daily-report")]
    assert offsets == [6, 141, 102]


@pytest.mark.parametrize(
    ("day", "seen"),
    [(1, "03:55:03.092"), (2, "03:14:51.983"), (3, "03:35:03.888"), (4, "03:03:10.133")],
)
def test_trigger_times_are_the_servers(day: int, seen: str) -> None:
    """A real server listed these times for a daily schedule with an hour of jitter."""
    nominal = datetime(2027, 1, day, 3, tzinfo=UTC)
    found = trigger_time(nominal, nominal + _DAY, _HOUR, _SEED)
    assert found.isoformat(timespec="milliseconds") == f"2027-01-0{day}T{seen}+00:00"


def test_jitter_is_cut_off_at_the_next_fire() -> None:
    """Where the next fire is nearer than the jitter is long, the jitter shrinks to fit."""
    nominal = datetime(2027, 1, 1, 3, tzinfo=UTC)
    near = nominal + timedelta(minutes=1)
    assert nominal <= trigger_time(nominal, near, _HOUR, _SEED) < near
    assert trigger_time(nominal, None, _HOUR, _SEED) == trigger_time(
        nominal, nominal + _DAY, _HOUR, _SEED
    )
    assert trigger_time(nominal, nominal + _DAY, timedelta(0), _SEED) == nominal


def test_short_data_is_refused() -> None:
    """Up to 24 bytes the algorithm is another one, which is not here."""
    with pytest.raises(ValueError, match="25 bytes or more"):
        fingerprint32(bytes(24))
