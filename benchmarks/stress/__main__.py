"""`python -m benchmarks.stress [--tasks N] [--tenants N] [--stagger TIME] ...`: all at once.

Registers so many tasks, has them run at so many nominal times, and judges what came of it; then
measures, without stagger, how late so many runs are that are due in one second, beside bare
Temporal schedules. Progress goes to standard error. A stagger that is no whole number of minutes is
for trials: the tasks then have no cron but the same instants.

`--json FILE` writes one document: `{"machine", "load", "registration", "due", "on_time_rate",
"latency", ..., "usage", "oracle": {"findings", "count"}, "aims": [{"aim", "found", "met"}],
"curve": [{"due", "ours", "bare", "ratio"}]}`. Exit codes: 0 when the oracle finds nothing wrong,
whatever the figures; 1 when it does, or something could not be started; 2 for bad arguments.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from temporalio.service import RPCError

from benchmarks.machine import this_machine
from benchmarks.stress.curve import curve
from benchmarks.stress.evidence import judge
from benchmarks.stress.figures import figures
from benchmarks.stress.load import Load
from benchmarks.stress.play import play
from benchmarks.stress.report import show
from benchmarks.stress.stage import staged
from benchmarks.stress.usage import Usage
from domain.duration import parse_duration
from shared.errors import TaskflowError
from shared.leave import leave
from tests.killed.oracle import Evidence

CURVE, ROUNDS = [1000, 2000], 2


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and give back the exit code."""
    given = _parser().parse_args(arguments)
    load = Load(
        tasks=given.tasks,
        tenants=given.tenants,
        stagger=given.stagger,
        times=given.times,
        in_flight=given.tasks if given.in_flight is None else given.in_flight,
        spare=given.spare,
    )
    try:
        document = {} if given.only_curve else asyncio.run(stress(load))[0]
        if given.curve:
            document |= asyncio.run(curve(given.curve, given.rounds, _say))
    except (TaskflowError, RPCError) as error:
        sys.stderr.write(f"benchmarks.stress: {error}\n")
        return 1
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(f"{json.dumps(document, indent=2, default=str)}\n")
    show(Console(width=110, soft_wrap=True), document)
    return exit_code(document)


def exit_code(document: dict[str, Any]) -> int:
    """1 when the oracle found something wrong."""
    return 1 if document.get("oracle", {}).get("count") else 0


async def stress(load: Load) -> tuple[dict[str, Any], Evidence]:
    """Everything of the document but the curve, and what the oracle judged by."""
    async with staged() as stage:
        usage = Usage(stage.processes)
        played = await play(load, stage, usage, _say)
        metrics = await stage.metrics(stage.metrics_url)
        # Judging is work too, and none of the product's.
        used = usage.document()
        verdict = await judge(load, stage, played, _say)
        machine = asdict(await this_machine(stage.client))
        found = figures(load, played, verdict, metrics, used)
        return {"machine": machine} | found, verdict.evidence


def _say(line: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S}  {line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stress",
        description="Thousands of tasks of many tenants at once.",
    )
    whole = Load()
    parser.add_argument("--tasks", type=_count, default=whole.tasks)
    parser.add_argument("--tenants", type=_count, default=whole.tenants)
    parser.add_argument("--stagger", type=_time, default=whole.stagger, help="such as 10m or 30s")
    parser.add_argument("--times", type=_count, default=whole.times, help="nominal times")
    parser.add_argument(
        "--in-flight", type=int, help="executions at once that are aimed at; as many as tasks"
    )
    parser.add_argument(
        "--spare", type=_time, default=whole.spare, help="more time to register, on a slow machine"
    )
    parser.add_argument(
        "--curve", type=_count, nargs="*", default=CURVE, help="due at once; none leaves it out"
    )
    parser.add_argument("--rounds", type=_count, default=ROUNDS, help="of each point of the curve")
    parser.add_argument("--only-curve", action="store_true", help="measure nothing else")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the document there")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return count


def _time(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if found < timedelta(seconds=1) or found % timedelta(seconds=1):
        raise argparse.ArgumentTypeError(f"{text} is no whole number of seconds, 1 or more")
    return found


if __name__ == "__main__":
    leave(main())
