"""The document as tables for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.latencies import HEADING, Summary

MOST_SHOWN = 20


def show(console: Console, document: dict[str, Any]) -> None:
    """All of it, the aims last."""
    if "on_time_rate" in document:
        _show_stress(console, document)
    if document.get("curve"):
        console.print(_curve(document["curve"]))
    machine = document["machine"]
    console.print(
        f"{machine['cores']} cores ({machine['cpu']}), Temporal {machine['server']}, "
        f"SDK {machine['sdk']}, Python {machine['python']}"
    )


def _show_stress(console: Console, document: dict[str, Any]) -> None:
    registered, governor = document["registration"], document["governor"]
    states = ", ".join(f"{name} {count}" for name, count in document["states"].items())
    console.print(
        f"registered {registered['tasks']} tasks in {registered['seconds']} s "
        f"({registered['per_second']} a second)\n"
        f"{document['due']} runs due, {document['missed']} missed: {states}; "
        f"success {document['success_rate']:.2%}, on time {document['on_time_rate']:.2%}\n"
        f"{document['in_flight']} executions were with their plugins at once, "
        f"{document['open_runs_seen']} runs open at once\n"
        f"governors gave {governor['answers']:.0f} answers ({governor['contended']:.0f} not at "
        f"once), half of them within {governor['p50_at_most_s'] * 1000:g} ms, "
        f"99 % within {governor['p99_at_most_s'] * 1000:g} ms\n"
        f"{document['breaches_told']} breaches were told"
    )
    console.out(HEADING, end="", highlight=False)
    rows = [("clocks, called after due", document["latency"])]
    rows += [
        (f"  nominal time {number}", latency)
        for number, latency in enumerate(document["latency_by_nominal_time"], start=1)
    ]
    rows += [
        ("events, called after sent", document["latency_of_events"]),
        ("events, answered", document["events_told"]),
    ]
    for name, latency in rows:
        console.out(Summary(**latency).row(name), end="", highlight=False)
    console.print(_processes(document["usage"]), _histories(document["history_events"]))
    for finding in document["oracle"]["findings"][:MOST_SHOWN]:
        console.print(f"[red]oracle: {finding}", highlight=False)
    for aim in document["aims"]:
        met = "[green]met[/]   " if aim["met"] else "[red]missed[/]"
        console.print(f"{met} {aim['aim']}; found {aim['found']}", highlight=False)


def _processes(usage: dict[str, Any]) -> Table:
    moments = usage["moments"]
    table = Table(title="Memory in MB, and processor seconds since the start", title_justify="left")
    table.add_column("process")
    for moment in moments:
        table.add_column(moment["moment"], justify="right")
    table.add_column("most", justify="right")
    for name, most in usage["peak_memory_mb"].items():
        cells = [
            f"{moment['memory_mb'].get(name, 0)}\n{moment['cpu_s'].get(name, 0):.0f} s"
            for moment in moments
        ]
        table.add_row(name, *cells, f"{most}\n{usage['cpu_s'][name]:.0f} s")
    return table


def _histories(events: dict[str, float]) -> Table:
    table = Table(title="Events in the history of a run", title_justify="left")
    table.add_column("runs of")
    table.add_column("events", justify="right")
    for kind, count in events.items():
        table.add_row(kind, f"{count:g}")
    return table


def _curve(rows: list[dict[str, Any]]) -> Table:
    title = "Due in one second, without stagger: seconds from then to the call of the plugin"
    table = Table(title=title, title_justify="left")
    table.add_column("due")
    for name in ("ours p50", "ours p99", "bare p50", "bare p99", "ratio p50", "ratio p99"):
        table.add_column(name, justify="right")
    for row in rows:
        ours, bare, ratio = row["ours"], row["bare"], row["ratio"]
        figures = (ours["p50_s"], ours["p99_s"], bare["p50_s"], bare["p99_s"])
        cells = [f"{value:.1f}" for value in figures]
        table.add_row(f"{row['due']:,}", *cells, f"{ratio['p50']:.2f}", f"{ratio['p99']:.2f}")
    return table
