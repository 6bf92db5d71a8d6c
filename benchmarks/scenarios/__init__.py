"""The kinds of run that take turns. The first is what the others are compared with."""

from benchmarks.scenarios import bare, plain
from benchmarks.scenarios.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (bare.SCENARIO, plain.SCENARIO)

__all__ = ["SCENARIOS", "Scenario"]
