"""The kinds of run that take turns. The first is what the others are compared with."""

from benchmarks.scenarios import asynchronous, bare, governed, plain, retried, short
from benchmarks.scenarios.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    bare.SCENARIO,
    bare.UNSANDBOXED,
    plain.SCENARIO,
    governed.SCENARIO,
    short.SCENARIO,
    asynchronous.SCENARIO,
    bare.BARE_RETRIED,
    retried.SCENARIO,
)

__all__ = ["SCENARIOS", "Scenario"]
