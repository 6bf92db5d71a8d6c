"""When the run of a nominal time is due: stagger and jitter, known in advance."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.due import due_of, due_times, stagger_of
from domain.triggers import task_times
from tests.conftest import task_of

AT = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
SEED = "namespace-task/acme/report"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 600),
    st.integers(0, 900),
    st.sampled_from([10, 15, 30]),
    st.text("abcdef", min_size=1, max_size=8),
)
def test_a_fire_is_due_in_its_window_and_in_order(
    stagger: int, jitter: int, minutes: int, name: str
) -> None:
    """Every nominal time is due once, from its own time on, and never past the next one's."""
    task = task_of(
        task_id=name,
        triggers=[{"every": f"{minutes}m"}],
        stagger=f"{min(stagger, minutes * 60)}s",
        jitter=f"{jitter}s",
    )
    until = AT + timedelta(days=1)
    found = list(due_times(task, after=AT, until=until, seed=SEED))
    shift = stagger_of(task)
    wanted = list(task_times(task, after=AT - shift, until=until - shift))
    assert [due.nominal_time for due in found] == wanted
    for due, later in pairwise(found):
        assert due.nominal_time <= due.scheduled_time <= due.trigger_time < later.trigger_time
        assert due.trigger_time < later.scheduled_time
        assert due_of(task, due.scheduled_time, SEED) == due


def test_without_a_seed_jitter_is_left_out() -> None:
    """Whoever does not know the namespace says the scheduled time and never a wrong one."""
    task = task_of(triggers=[{"every": "10m"}], jitter="5m")
    for due in due_times(task, after=AT, until=AT + timedelta(hours=1)):
        assert due.trigger_time == due.scheduled_time
