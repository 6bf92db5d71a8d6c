"""`python -m benchmarks [--only KIND,KIND] [--runs N] [--rounds N] [--alone N] [--json]`.

`--only` leaves out the kinds of run that it does not name; what all are compared with always runs.

Exit codes: 0 measured, whatever the figures; 1 when something could not be started, a run failed or
was not executed exactly once; 2 for bad arguments. `--json` prints one document:
`{"machine": {...}, "runs", "rounds", "alone", "scenarios": [{...}]}`, fields as in
`benchmarks.summary`.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict

from rich.console import Console
from rich.progress import Progress
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError

from benchmarks.machine import Machine, this_machine
from benchmarks.report import show
from benchmarks.rounds import take_turns
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.stack import bench_stack
from benchmarks.summary import Summary, summarise
from shared.errors import TaskflowError
from shared.leave import leave

RUNS, ROUNDS, ALONE = 50, 8, 15
"""Many short turns: load of others that comes and goes then falls on every kind alike."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and give back the exit code."""
    options = _parser().parse_args(arguments)
    try:
        summaries, machine = asyncio.run(_measure(options))
    except (TaskflowError, RPCError, WorkflowFailureError) as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        return 1
    if options.json:
        document = {
            "machine": asdict(machine),
            "runs": options.runs,
            "rounds": options.rounds,
            "alone": options.alone,
            "scenarios": [asdict(summary) for summary in summaries],
        }
        sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
    else:
        show(Console(), summaries, options.alone, machine)
    return 0


async def _measure(options: argparse.Namespace) -> tuple[list[Summary], Machine]:
    scenarios, runs, rounds = options.only, options.runs, options.rounds
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("starting", total=runs * (rounds + 1) * len(scenarios))
        async with bench_stack() as bench:
            progress.update(bar, description="measuring")
            turns = await take_turns(
                bench,
                scenarios,
                runs=runs,
                rounds=rounds,
                alone=options.alone,
                advance=lambda: progress.advance(bar),
            )
            return summarise(turns, scenarios, runs), await this_machine(bench.client)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Our runs against bare Temporal workflows."
    )
    parser.add_argument(
        "--only", type=_named, default=SCENARIOS, metavar="KIND,...", help=f"of {_names()}"
    )
    parser.add_argument("--runs", type=_count, default=RUNS, help="runs of each kind per round")
    parser.add_argument(
        "--rounds", type=_count, default=ROUNDS, help="rounds, after one to warm up"
    )
    parser.add_argument(
        "--alone", type=_count, default=ALONE, help="runs of each kind per round, one by one"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    return parser


def _named(text: str) -> tuple[Scenario, ...]:
    """The scenarios of these names, behind the first of all, in their order."""
    names = set(text.split(","))
    if unknown := names - {scenario.name for scenario in SCENARIOS}:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}: {_names()}")
    base, *others = SCENARIOS
    return base, *(scenario for scenario in others if scenario.name in names)


def _names() -> str:
    return ", ".join(scenario.name for scenario in SCENARIOS)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return count


if __name__ == "__main__":
    leave(main())
