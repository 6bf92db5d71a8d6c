"""`python -m benchmarks.items [--only NAME,...] [--sizes N,...] [--json]`: the pure cores, by item.

The code that decides, foresees and explains, without Temporal and on one core: processor time for
each item, for so many of them as `--sizes` says, and the least of several rounds. What grows faster
than what it is given shows here: then an item costs more where there are more.

`--json` prints one document: `{"sizes", "items": [{"name", "title", "item", "us", "growth"}]}`,
microseconds by size, and how many times those of the largest size are those of the smallest.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from benchmarks.cores import CORES, Core
from benchmarks.tables import Table

SIZES = (1_000, 10_000, 100_000)
FEW, ROUNDS = 10_000, 3
"""Up to so many items each is measured that often: the least is the one that nobody disturbed."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Microseconds of an item, for each of the sizes."""

    name: str
    title: str
    item: str
    us: list[float]
    growth: float


def measure(cores: tuple[Core, ...], sizes: tuple[int, ...]) -> list[Measured]:
    """All sizes of some cores, size by size."""
    us: dict[str, list[float]] = {core.name: [] for core in cores}
    for size in sizes:
        for core in cores:
            us[core.name].append(_least(core, size))
    return [
        Measured(
            core.name,
            core.title,
            core.item,
            [round(value, 2) for value in us[core.name]],
            round(us[core.name][-1] / us[core.name][0], 2),
        )
        for core in cores
    ]


def _least(core: Core, size: int) -> float:
    return min(_once(core, size) for _ in range(ROUNDS if size <= FEW else 1))


def _once(core: Core, size: int) -> float:
    """Microseconds of an item. Each time it is made ready anew: some work can be done only once."""
    work = core.prepare(size)
    gc.collect()
    gc.freeze()  # what was there before costs nobody who collects garbage meanwhile
    began = time.process_time()
    done = work()
    seconds = time.process_time() - began
    gc.unfreeze()
    return seconds / done * 1e6


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    found = measure(given.only, given.sizes)
    if given.json:
        document: dict[str, Any] = {"sizes": given.sizes, "items": [asdict(one) for one in found]}
        sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
        return 0
    table(found, given.sizes).show(Console())
    return 0


def table(found: Sequence[Measured], sizes: Sequence[int]) -> Table:
    """The document for people."""
    return Table(
        "items",
        "Microseconds of processor time for one item, on one core, with so many of them",
        ("what is done, for each", *(f"{size:,}" for size in sizes), "growth"),
        [
            (
                f"{one.title}, {one.item}",
                *(f"{value:,.1f}" for value in one.us),
                f"{one.growth:.2f}",
            )
            for one in found
        ],
        ("growth: an item with the most of them against one with the fewest; 1 is linear.",),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.items", description="The pure cores, by item."
    )
    names = ", ".join(core.name for core in CORES)
    parser.add_argument(
        "--only", type=_cores, default=CORES, metavar="NAME,...", help=f"of {names}"
    )
    parser.add_argument("--sizes", type=_sizes, default=SIZES, metavar="N,...")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    return parser


def _cores(text: str) -> tuple[Core, ...]:
    known = {core.name: core for core in CORES}
    names = text.split(",")
    if unknown := set(names) - known.keys():
        raise argparse.ArgumentTypeError(
            f"there is no {', '.join(sorted(unknown))}: {', '.join(known)}"
        )
    return tuple(known[name] for name in names)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(sorted(int(part) for part in text.split(",")))
    if sizes[0] < 1:
        raise argparse.ArgumentTypeError(f"{text}: a size is 1 or more")
    return sizes


if __name__ == "__main__":
    sys.exit(main())
