"""A whole simulation, tenant by tenant, and its figures as one document."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from benchmarks.million.holds import Registries, reached, taken
from benchmarks.million.mix import Mix, sizes_of
from benchmarks.million.play import ENDS, play
from benchmarks.million.tally import (
    MINUTE,
    Tally,
    busiest_minute,
    longest_wait,
    rate_needed,
    spread_of,
)
from benchmarks.million.tenants import Draws
from domain.policy import Policy

NAMESPACE = "4b7b7b0c-9c4e-4bd7-8b0e-0d3c7b1f5a10"
"""What the jitter is made of."""
ON_TIME_S = 60.0
"""How late a run may start."""
PATIENCE_S = 3.0
"""For how long a worker waits for a governor's answer before its runs ask again."""
RATES = (34.0, 100.0, 300.0, 1000.0, 3000.0)
"""Starts a second: what the last one of a storm would have to wait for."""
_RSS_UNIT = 1024 if sys.platform != "darwin" else 1


@dataclass(frozen=True, slots=True)
class Options:
    """Of one simulation; `governor_per_s` is what a governor is taken to answer."""

    mix: Mix
    policy: Policy
    minutes: int
    seed: int
    governor_per_s: float


def simulate(options: Options, advance: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """The document; `advance` is told how many tasks more are done with.

    Errors: `InvalidInput` for a mix whose tasks a registration would refuse.
    """
    mix = options.mix
    began = time.process_time()
    end = mix.start + timedelta(minutes=options.minutes)
    tally = Tally(options.minutes * MINUTE, options.governor_per_s)
    registries = Registries()
    draws = Draws(mix, options.policy, options.seed)
    drawing = 0.0
    for number, size in enumerate(sizes_of(mix)):
        before = time.process_time()
        drawn = draws.tenant(number, size)
        registries.add(drawn, mix.start)
        drawing += time.process_time() - before
        tally.add(play(drawn, mix.start, end, NAMESPACE))
        advance(size)
    took = time.process_time() - began
    return {
        "tasks": mix.tasks,
        "tenants": mix.tenants,
        "start": mix.start.isoformat().replace("+00:00", "Z"),
        "minutes": options.minutes,
        "seed": options.seed,
        **_figures(tally, registries, options.governor_per_s),
        "conserved": not tally.not_conserved,
        "cost": {
            "cpu_s": round(took, 1),
            "drawing_s": round(drawing, 1),
            "us_per_fire": round((took - drawing) / max(1, tally.fires) * 1e6, 1),
            "memory_mb": round(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT / 1e6
            ),
        },
    }


def _figures(tally: Tally, registries: Registries, governor_per_s: float) -> dict[str, Any]:
    named, fired = (dict(enumerate(tally.lines[name])) for name in ("named", "fired"))
    needed = rate_needed(fired, ON_TIME_S)
    busy = [line.decisions_second for line in tally.tenants]
    sustained = [line.decisions_minute / MINUTE for line in tally.tenants]
    return {
        "fires": tally.fires,
        "ends": {end: tally.ends[end] for end in ENDS},
        "conflicts": tally.conflicts,
        "breaches": tally.breaches,
        "starts": {
            "as_named": _starts(tally.lines["named"]),
            "as_started": _starts(tally.lines["fired"]),
            "needed_as_named": rate_needed(named, ON_TIME_S),
            "needed_as_started": needed,
            "last_after_s": [
                {
                    "rate": rate,
                    "as_named": longest_wait(named, rate),
                    "as_started": longest_wait(fired, rate),
                }
                for rate in RATES
            ],
        },
        "moved": registries.moved,
        "refused": registries.refused,
        "per_tenant": tally.of_tenants(),
        "queue": {
            "depth": spread_of(tally.waiting()),
            "at_the_end": tally.waiting()[-1],
            "waits_s": spread_of(tally.waits),
            "waited": len(tally.waits),
        },
        "running": spread_of(tally.running()),
        "governors": {
            "with_work": sum(line.decisions > 0 for line in tally.tenants),
            "holds_per_s": governor_per_s,
            "above_in_a_second": sum(rate > governor_per_s for rate in busy),
            "above_for_a_minute": sum(rate > governor_per_s for rate in sustained),
            "late": sum(line.answer_s > PATIENCE_S for line in tally.tenants),
            "releases": sum(tally.lines["released"]),
            "ledgers": dict(sorted(tally.ledgers.items())),
        },
        "registries": {
            "shards": registries.shards,
            "mb": registries.bytes / 1e6,
            "largest_mb": registries.largest / 1e6,
        },
        "takes": taken(tally),
        "reached": [
            {
                "part": part.part,
                "needs": part.needs,
                "holds": part.holds,
                "times": part.times,
            }
            for part in reached(tally, registries, needed, governor_per_s)
        ],
    }


def _starts(line: Any) -> dict[str, float]:
    return {**spread_of(line), "total": sum(line), "busiest_minute": busiest_minute(line)}
