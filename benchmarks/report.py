"""The figures of runs as tables: how fast they are, and what one costs."""

from rich.console import Console

from benchmarks.machine import Machine
from benchmarks.summary import Summary
from benchmarks.tables import Table


def speed(summaries: list[Summary], alone: int) -> Table:
    """Runs a second against the first row, and latencies."""
    base = summaries[0]
    rounds = len(base.throughputs)
    runs = base.runs // rounds
    return Table(
        "speed",
        f"{runs} runs of each kind at once and {alone} alone, in each of {rounds} rounds",
        ("kind of run", "runs/s", "ratio", "spread", "p50 ms", "p99 ms", "alone p50", "alone p99"),
        [
            (
                row.title,
                f"{row.throughput:.1f}",
                f"{row.ratio:.2f}",
                f"{min(row.ratios):.2f}-{max(row.ratios):.2f}" if row is not base else "",
                *(f"{value:,.0f}" for value in (row.burst_p50_ms, row.burst_p99_ms)),
                *(f"{value:,.0f}" for value in (row.alone_p50_ms, row.alone_p99_ms)),
            )
            for row in summaries
        ],
        (
            "runs/s: median of the rounds. ratio: to the first row in the same round, median.",
            "p50 and p99: from the start of a run to its result, where all are started at once;",
            "alone: where one is started after the other. A retried run waits for 100 ms.",
        ),
    )


def cost(summaries: list[Summary]) -> Table:
    """What one run leaves and takes."""
    return Table(
        "cost",
        "What one run costs",
        (
            "kind of run",
            "events",
            "tasks",
            "bytes",
            "calls",
            "cpu ms",
            "server",
            "worker",
            "Python",
        ),
        [
            (
                row.title,
                str(row.events),
                str(row.workflow_tasks),
                f"{row.payload_bytes:,}",
                f"{row.requests:.1f}",
                f"{row.cpu_ms:.1f}",
                f"{row.cpu_ms_by_process.get('temporal', 0):.1f}",
                f"{row.cpu_ms_by_process.get('worker', 0):.1f}",
                f"{row.python_ms:.1f}",
            )
            for row in summaries
        ],
        (
            "events, tasks (workflow tasks), bytes (of payloads): those of one history.",
            "calls: gRPC requests of the worker, its polls left out.",
            "cpu ms: processor time of server, worker, sandbox, API and client; server and worker:",
            "their parts of it; Python: that of the worker without Temporal's core.",
        ),
    )


def named(machine: Machine) -> str:
    """What figures were measured on, in one line."""
    return (
        f"{machine.cores} cores, {machine.cpu}; Temporal server {machine.server}, "
        f"SDK {machine.sdk}, Python {machine.python}"
    )


def show(console: Console, summaries: list[Summary], alone: int, machine: Machine) -> None:
    """Print a row for each scenario, then what it ran on."""
    speed(summaries, alone).show(console)
    cost(summaries).show(console)
    console.print(named(machine), highlight=False, soft_wrap=True)
