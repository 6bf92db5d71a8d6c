"""What the random mixture draws: all of it from its seed."""

from random import Random

from tests.faults.blows import FAULTS, plan


def test_a_seed_gives_the_same_faults_again_and_another_seed_others() -> None:
    """Which, when, for how long and whom they meet."""
    first, again, other = (plan(Random(seed), 300) for seed in (7, 7, 8))  # noqa: S311
    assert first == again != other
    assert plan(Random(7), 60) == first[: len(plan(Random(7), 60))]  # noqa: S311


def test_every_fault_comes_once_before_any_comes_again() -> None:
    """However few come in a short time: none is left to luck for long."""
    blows = plan(Random(1), 600)  # noqa: S311
    faults = [blow.fault for blow in blows]
    assert len(faults) > 2 * len(FAULTS)
    for start in range(0, len(faults) - len(FAULTS), len(FAULTS)):
        assert sorted(faults[start : start + len(FAULTS)]) == sorted(FAULTS)
    assert sum(blow.pause for blow in blows) <= 600
    assert all(blow.one_of([0, 1, 2]) in (0, 1, 2) for blow in blows)
