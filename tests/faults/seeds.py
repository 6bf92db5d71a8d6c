"""Chance that can be had again: one seed for a whole test run, given as SEED or drawn."""

import os
import random
from functools import cache

SEED = "SEED"


def new_seed() -> int:
    """Short enough to be typed."""
    return random.SystemRandom().randrange(10**9)


@cache
def seed() -> int:
    """That of this test run.

    Errors: a SEED that is no whole number is a `ValueError`.
    """
    said = os.environ.get(SEED)
    return int(said) if said else new_seed()
