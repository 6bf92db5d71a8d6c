"""`python -m benchmarks [--runs N] [--rounds N] [--json]`.

Exit codes: 0 measured, whatever the figures; 1 when something could not be started, a run failed or
was not executed exactly once; 2 for bad arguments. `--json` prints one document:
`{"machine": {...}, "runs", "rounds", "scenarios": [{...}]}`, fields as in `benchmarks.summary`.
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
from benchmarks.scenarios import SCENARIOS
from benchmarks.stack import bench_stack
from benchmarks.summary import Summary, summarise
from shared.errors import TaskflowError
from shared.leave import leave

RUNS, ROUNDS = 50, 8
"""Many short turns: load of others that comes and goes then falls on every kind alike."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and give back the exit code."""
    options = _parser().parse_args(arguments)
    try:
        summaries, machine = asyncio.run(_measure(options.runs, options.rounds))
    except (TaskflowError, RPCError, WorkflowFailureError) as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        return 1
    if options.json:
        document = {
            "machine": asdict(machine),
            "runs": options.runs,
            "rounds": options.rounds,
            "scenarios": [asdict(summary) for summary in summaries],
        }
        sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
    else:
        show(Console(), summaries, machine)
    return 0


async def _measure(runs: int, rounds: int) -> tuple[list[Summary], Machine]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("starting", total=runs * (rounds + 1) * len(SCENARIOS))
        async with bench_stack() as bench:
            progress.update(bar, description="measuring")
            turns = await take_turns(
                bench, SCENARIOS, runs=runs, rounds=rounds, advance=lambda: progress.advance(bar)
            )
            return summarise(turns, SCENARIOS, runs), await this_machine(bench.client)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Our runs against bare Temporal workflows."
    )
    parser.add_argument("--runs", type=_count, default=RUNS, help="runs of each kind per round")
    parser.add_argument(
        "--rounds", type=_count, default=ROUNDS, help="rounds, after one to warm up"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return count


if __name__ == "__main__":
    leave(main())
