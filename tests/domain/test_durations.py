"""Durations: learned once there is something to learn from, else as the task says."""

import pytest

from domain.durations import DEFAULT_S, LEAST_RUNS, MOST_RUNS, Durations, Expected
from tests.conftest import task_of

KEY = ("acme", "daily-report")


def test_what_runs_say_comes_before_what_the_task_says() -> None:
    """Three runs are enough, two are not."""
    task = task_of(expected_duration="4m")
    durations = Durations([(KEY, [10.0, 30.0])])
    prior = durations.expected(task)
    durations.add(KEY, 20.0)
    assert prior == Expected(240.0, 240.0, "task")
    assert durations.expected(task) == Expected(20.0, 30.0, "learned")
    assert LEAST_RUNS == 3


def test_a_task_of_which_nothing_is_known_has_the_default() -> None:
    """And says that it is a guess."""
    assert Durations().expected(task_of()) == Expected(DEFAULT_S, DEFAULT_S, "default")


def test_old_runs_are_forgotten() -> None:
    """A task that became slower is slow after so many runs."""
    durations = Durations([(KEY, [1.0] * MOST_RUNS + [100.0] * MOST_RUNS)])
    learned = durations.learned(KEY)
    assert learned == Expected(100.0, 100.0, "learned")


@pytest.mark.parametrize(
    ("seconds", "p95"), [([1, 2, 3], 3), (list(range(1, 21)), 19), ([5, 1, 9, 7], 9)]
)
def test_the_95th_percentile_is_one_of_the_runs(seconds: list[float], p95: float) -> None:
    """Nearest rank: of twenty runs the second longest."""
    learned = Durations([(KEY, seconds)]).learned(KEY)
    assert learned is not None
    assert learned.p95_s == p95


def test_its_pairs_make_the_same_again() -> None:
    """They are what a process hands to another."""
    durations = Durations([(KEY, [3.0, 1.0, 2.0])])
    assert list(Durations(durations.pairs()).pairs()) == [(KEY, [3.0, 1.0, 2.0])]
