"""`sla-report`: how many fires were on time, and what their runs came to."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from starter.cli import options
from starter.cli.output import (
    console,
    print_item,
    print_json,
    print_trimmed,
    progress,
    say,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from rich.console import Console
    from temporalio.client import Client

    from domain.levels import Level
    from starter.sla_report import SlaReport
    from starter.sla_report_rebuild import Rebuilt

_REBUILT = {
    "counted": "counted anew",
    "waiting": "to be counted when all runs have ended",
    "kept": "kept as before: Temporal has not all runs any more",
    "in_part": "counted from what Temporal still had",
    "gone": "gone: neither rolled up nor in Temporal",
}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sla-report", epilog="Example: taskflow sla-report --since 7d --tenant acme")(
        sla_report
    )


def sla_report(
    *,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="From when on: 2h, 3d, or a time")
    ] = "24h",
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Before when; now if left out")
    ] = None,
    tenant: options.Tenant = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="First count the roll-ups of these days anew")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line for each task")] = False,
    as_html: Annotated[
        bool, typer.Option("--html", help="Print one page that needs nothing else")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show how many fires began on time, and what their runs came to.

    On time is a run that began within 60 s of when it was due. A fire that a rule skipped counts
    neither way. Whole days come from roll-ups, which outlive the runs that they were made of.
    """
    from shared.settings import get_settings
    from starter import when
    from starter.cli.names import tenant_name
    from starter.cli.session import with_temporal
    from starter.sla_report import check_window, make_report

    if as_csv + as_html + as_json > 1:
        raise typer.BadParameter("say one of --csv, --html and --json", param_hint="--csv")
    tenant_id = tenant_name(tenant)
    now = datetime.now(UTC)
    last = when.since(until, now, "until") if until else now
    first = when.since(since, now)
    check_window(first, last)
    queue = get_settings().task_queue

    async def work(client: "Client") -> "tuple[Rebuilt | None, SlaReport]":
        window = (tenant_id, first, last, now)
        rebuilt = await _rebuild(client, window, queue) if rebuild else None
        return rebuilt, await make_report(client, *window, task_queue=queue)

    rebuilt, report = with_temporal(work)
    if as_json:
        print_json(report.as_json() | ({"rebuilt": rebuilt.as_json()} if rebuilt else {}))
        return
    if rebuilt:
        _tell(rebuilt, aside=as_csv or as_html)
    if as_csv or as_html:
        _write(report, now, html=as_html)
    else:
        _show(console(), report)


async def _rebuild(
    client: "Client", window: "tuple[str | None, datetime, datetime, datetime]", queue: str
) -> "Rebuilt":
    from starter.sla_report_rebuild import rebuild

    with progress() as total:
        advances: list[Callable[[], None]] = []

        def count(_day: "date", days: int) -> None:
            if not advances:
                advances.append(total("counting days", days))
            advances[0]()

        return await rebuild(client, *window, task_queue=queue, advance=count)


def _tell(rebuilt: "Rebuilt", *, aside: bool) -> None:
    """What became of the days; `aside`: standard output is for the report alone."""
    for name, what in _REBUILT.items():
        if days := getattr(rebuilt, name):
            more = f" to {days[-1]}" if len(days) > 1 else ""
            line = f"{len(days):,} day{'s' if more else ''} {what}: {days[0]}{more}"
            if aside:
                sys.stderr.write(f"{line}\n")
            else:
                say(line)


def _write(report: "SlaReport", now: datetime, *, html: bool) -> None:
    from starter.sla_report_formats import as_csv, as_html

    text = as_html(report, now) if html else as_csv(report)
    # As bytes: a line of CSV ends in CR and LF, whatever the system's own lines end in.
    sys.stdout.buffer.write(text.encode())


def _show(screen: "Console", report: "SlaReport") -> None:
    from domain.levels import percent
    from starter.sla_report_formats import MISSES
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
    totals = report.totals()
    if len(report.levels) > 1:
        columns.add_section()
        columns.add_row("all", *_cells(totals))
    print_trimmed(screen, columns)
    targets = report.as_json()["targets"]
    goals = f"{percent(targets['on_time_rate'])} on time, {percent(targets['success_rate'])}"
    screen.print(f"Targets: {goals} succeeded. {MISSES} marks what is below.")


def _cells(level: "Level") -> list[str | Text]:
    from domain.levels import MEDIAN, NEARLY_ALL

    counts = (level.missed, level.skipped, level.retries, level.breaches)
    latencies = (level.latencies.percentile(share) for share in (MEDIAN, NEARLY_ALL))
    return [
        f"{level.due:,}",
        _rate(level.on_time_rate, met=level.on_time_met),
        _rate(level.success_rate, met=level.success_met),
        *(f"{count:,}" for count in counts),
        *("" if seconds is None else f"{seconds:,.2f} s" for seconds in latencies),
    ]


def _rate(rate: float | None, *, met: bool | None) -> Text:
    from domain.levels import percent
    from starter.sla_report_formats import MISSES

    if met is False:
        return Text(f"{percent(rate)} {MISSES}", style="red")
    return Text(percent(rate))
