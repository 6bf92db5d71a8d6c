"""`sla-report`: how many fires were on time, and what their runs came to."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import options
from starter.cli.output import console, print_item, print_json, print_trimmed, table

if TYPE_CHECKING:
    from rich.console import Console
    from temporalio.client import Client

    from domain.levels import Level
    from starter.sla_report import SlaReport


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sla-report", epilog="Example: taskflow sla-report --since 7d --tenant acme")(
        sla_report
    )


def sla_report(
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="From when on: 2h, 3d, or a time")
    ] = "24h",
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Up to when; now if left out")
    ] = None,
    tenant: options.Tenant = None,
    as_json: options.Json = False,
) -> None:
    """Show how many fires began on time, and what their runs came to.

    On time is a run that began within 60 s of when it was due. A fire that a rule skipped counts
    neither way. It covers what Temporal still has.
    """
    from shared.settings import get_settings
    from starter import when
    from starter.cli.names import tenant_name
    from starter.cli.session import with_temporal
    from starter.sla_report import check_window, make_report

    tenant_id = tenant_name(tenant)
    now = datetime.now(UTC)
    last = when.since(until, now, "until") if until else now
    first = when.since(since, now)
    check_window(first, last)

    async def work(client: "Client") -> "SlaReport":
        queue = get_settings().task_queue
        return await make_report(client, tenant_id, first, last, now, task_queue=queue)

    report = with_temporal(work)
    if as_json:
        print_json(report.as_json())
    else:
        _show(console(), report)


def _show(screen: "Console", report: "SlaReport") -> None:
    from starter.times import clock

    for warning in report.warnings:
        print_item(screen, f"warning: {warning}", indent=0, style="yellow")
    when = f"{clock(report.since)} to {clock(report.until)}"
    if not report.levels:
        screen.print(f"Nothing was due and nothing ran, {when}.")
        return
    screen.print(f"Fires that were due, {when}:")
    numbers = ("Due", "On time", "Succeeded", "Missed", "Skipped", "Retries", "Breaches")
    columns = table("Task", *numbers, "p50", "p99", whole=[*numbers, "p50", "p99"])
    for column in columns.columns[1:]:
        column.justify = "right"
    for key in sorted(report.levels):
        columns.add_row("/".join(key), *_cells(report.levels[key]))
    if len(report.levels) > 1:
        columns.add_section()
        columns.add_row("all", *_cells(report.totals()))
    print_trimmed(screen, columns)


def _cells(level: "Level") -> list[str]:
    from domain.levels import MEDIAN, NEARLY_ALL

    counts = (level.missed, level.skipped, level.retries, level.breaches)
    latencies = (level.latencies.percentile(share) for share in (MEDIAN, NEARLY_ALL))
    return [
        f"{level.due:,}",
        _percent(level.on_time_rate),
        _percent(level.success_rate),
        *(f"{count:,}" for count in counts),
        *("" if seconds is None else f"{seconds:,.2f} s" for seconds in latencies),
    ]


def _percent(rate: float | None) -> str:
    """Cut off, not rounded: 99.99 % is not all."""
    return "" if rate is None else f"{int(rate * 10_000) / 100:g} %"
