"""`python -m benchmarks.million [--tasks N] [--tenants N] [--minutes N] [--seed N] [--mix FILE]`.

Draws tenants and their tasks from a mix and plays them through the code that registers, forecasts
and decides: fires with stagger, spread and jitter, and each tenant's ledger. No server is needed.
`--json` prints one document, `simulate` says which. Exit codes: 0 simulated, whatever came of it;
1 when a fire came to no end or to two, or the mix is not one; 2 for bad arguments.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.million.holds import GOVERNOR_PER_S
from benchmarks.million.mix import DEFAULT, read_mix
from benchmarks.million.report import show
from benchmarks.million.simulation import Options, simulate
from domain.problems import InvalidInput
from shared.errors import TaskflowError
from shared.policy import load_policy
from shared.settings import get_settings


def main(arguments: list[str] | None = None) -> int:
    """Simulate, print, and give back the exit code."""
    given = _parser().parse_args(arguments)
    try:
        mix = read_mix(
            given.mix,
            tasks=given.tasks,
            tenants=given.tenants,
            skew=given.skew,
            staggered=given.staggered,
        )
        policy = load_policy(get_settings().policy_file)
        options = Options(mix, policy, given.minutes, given.seed, given.governor)
        bars = (TextColumn("simulating"), BarColumn(), TimeRemainingColumn())
        with Progress(*bars, console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("", total=mix.tasks)
            found = simulate(options, lambda tasks: progress.advance(bar, tasks))
    except (TaskflowError, InvalidInput) as error:
        sys.stderr.write(f"benchmarks.million: {error}\n")
        return 1
    if given.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
    else:
        show(Console(), found)
    return 0 if found["conserved"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.million",
        description="A million tasks through the code that decides about real ones.",
    )
    parser.add_argument("--tasks", type=int, help="instead of the mix's")
    parser.add_argument("--tenants", type=int, help="the same; else as large as the mix's")
    parser.add_argument("--skew", type=float, help="the same: 0 makes all tenants alike")
    parser.add_argument("--staggered", type=float, help="the same: share of tasks with a stagger")
    parser.add_argument("--minutes", type=_count, default=60, help="simulated, from its start")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn")
    parser.add_argument("--mix", type=Path, default=DEFAULT, help="a file like the default")
    parser.add_argument(
        "--governor",
        type=float,
        default=GOVERNOR_PER_S,
        help="answers a second that one is taken to hold",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return count


if __name__ == "__main__":
    sys.exit(main())
