"""Which faults come when: drawn from a seed before anything begins, so the same again."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

from tests.proxy import Answers

Target = TypeVar("Target")

ON_PROCESSES = (
    "a worker is killed",
    "a worker stands still",
    "a worker is told to stop",
    "all workers are killed",
    "the server is killed",
    "the server stands still",
    "the API is killed",
    "a governor is terminated",
    "capacity talks nonsense",
)
WAYS = ("temporal", "plugins", "capacity", "notifications", "sinks")
BAD = tuple(answers.value for answers in Answers if answers is not Answers.WHOLE)
ON_WAYS = tuple(product(WAYS, ("closed", "silent", "broken", *BAD)))
FAULTS = (*ON_PROCESSES, *(f"{way}: {how}" for way, how in ON_WAYS))


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault; it begins `pause` seconds after the one before, which may not be over.

    `choice`: a number from 0 to 1 that decides whom it meets, of those who are there.
    """

    pause: float
    fault: str
    lasts: float
    choice: float

    def one_of(self, targets: Sequence[Target]) -> Target:
        """Whom it meets."""
        return targets[int(self.choice * len(targets))]

    def __str__(self) -> str:
        return f"after {self.pause:.1f} s for {self.lasts:.1f} s: {self.fault}"


def plan(chance: random.Random, seconds: float) -> list[Blow]:
    """Blows that all begin within so many seconds; none comes again before each came once."""
    blows: list[Blow] = []
    deck: list[str] = []
    began = 0.0
    while True:
        if not deck:
            deck = chance.sample(FAULTS, len(FAULTS))
        blow = Blow(
            pause=chance.uniform(1, 6),
            fault=deck.pop(),
            lasts=chance.uniform(1, 7),
            choice=chance.random(),
        )
        began += blow.pause
        if began > seconds:
            return blows
        blows.append(blow)


def counted(blows: Sequence[Blow]) -> str:
    """How many of each, in words."""
    counts = Counter(blow.fault for blow in blows)
    return ", ".join(f"{counts[fault]} x {fault}" for fault in FAULTS if counts[fault])
