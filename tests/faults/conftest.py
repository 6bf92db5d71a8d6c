"""What is drawn by chance is told, so that it can be had again."""

import random

import pytest

from tests.faults.seeds import seed


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Of this test and the seed of the test run, and of nothing else."""
    print(f"the same again: SEED={seed()}")  # noqa: T201 - shown when the test fails
    return random.Random(f"{seed()} {request.node.name}")  # noqa: S311 - to be had again
