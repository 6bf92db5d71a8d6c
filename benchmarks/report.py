"""The figures for people: a table and the machine it was made on."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.summary import Summary

LEGEND = """\
runs/s: median of the rounds. ratio: to the first row in the same round, median.
events, tasks (workflow tasks), bytes (of payloads): those of one history.
calls: gRPC requests of the worker for one run, its polls left out.
cpu ms: processor time of server, worker, sandbox and client for one run."""


def show(console: Console, summaries: list[Summary], machine: Machine) -> None:
    """Print a row for each scenario, then what it ran on."""
    base = summaries[0]
    rounds = len(base.throughputs)
    table = Table(
        title=f"{base.runs // rounds} runs of each kind, in each of {rounds} rounds",
        box=SIMPLE_HEAD,
        padding=0,
    )
    table.add_column("kind of run", no_wrap=True)
    for heading in ("runs/s", "ratio", "spread", "events", "tasks", "bytes", "calls", "cpu ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in summaries:
        spread = f"{min(row.ratios):.2f}-{max(row.ratios):.2f}" if row is not base else ""
        table.add_row(
            row.title,
            f"{row.throughput:.1f}",
            f"{row.ratio:.2f}",
            spread,
            str(row.events),
            str(row.workflow_tasks),
            str(row.payload_bytes),
            f"{row.requests:.1f}",
            f"{row.cpu_ms:.1f}",
        )
    console.print(table)
    console.print(LEGEND, style="dim", highlight=False)
    console.print(
        f"{machine.cores} cores, {machine.cpu}; Temporal server {machine.server}, "
        f"SDK {machine.sdk}, Python {machine.python}",
        highlight=False,
        soft_wrap=True,
    )
