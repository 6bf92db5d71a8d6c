"""Runs on a screen."""

from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.text import Text

from domain.sla import BREACHES, SlaStatus
from domain.states import RunState
from starter.cli.output import plain, print_json, print_trimmed, say, table
from starter.cli.times import stamp, took
from starter.runs import RunView, waits_text

STYLES = {
    RunState.SUCCESS: "green",
    RunState.FAILED: "red",
    RunState.MISSED: "red",
    RunState.RETRYING: "yellow",
    RunState.COMPENSATING: "magenta",
    RunState.COMPENSATED: "magenta",
    RunState.RUNNING: "cyan",
}

SLA_STYLES = {SlaStatus.MET: "green", SlaStatus.WARNED: "yellow"}
"""Every other one is a breach."""
WITH_SLA = 90
"""Columns that a screen needs for the column about it: ids of runs fold where there is less."""


def show_runs(screen: Console, runs: list[RunView], *, limit: int, filtered: bool) -> None:
    """A table, newest first; an empty one says what to do."""
    if not runs:
        hint = "`taskflow trigger TASK` starts one, `taskflow list` shows what is due"
        screen.print("No runs match." if filtered else f"No runs yet: {hint}.")
        return
    print_runs(screen, runs)
    if len(runs) >= limit:
        screen.print(Text(f"The newest {limit:,}: --limit shows more.", style="dim"))


def print_runs(screen: Console, runs: list[RunView], zone: str = "UTC") -> None:
    """The table itself; times on the clock of `zone`."""
    with_sla = screen.width >= WITH_SLA and any(run.sla for run in runs)
    last = ("Retries", "SLA") if with_sla else ("Retries",)
    short = ("Status", f"Due ({zone})", "Late", "Took", *last)
    columns = table("Run", *short, whole=short)
    now = datetime.now(UTC)
    for run in runs:
        name = Text(run.run_id)
        if run.event:
            of = f"{run.event.type} {run.event.id} from {run.event.source}"
            name.append(f"\n  {plain(of)}", style="dim")
        if why := run.reason or waits_text(run):
            name.append(f"\n  {plain(why)}", style="dim")
        columns.add_row(
            name,
            Text(run.status, style=STYLES.get(run.status, "")),
            stamp(run.trigger_time, zone, now) if run.trigger_time else "",
            _late(run.trigger_time, run.actual_start),
            took(run.duration_ms),
            str(run.retry_count or ""),
            *([_sla(run)] if with_sla else []),
        )
    print_trimmed(screen, columns)


def _sla(run: RunView) -> Text:
    """The worse of start and finish."""
    if run.sla is None:
        return Text("")
    text = "BREACHED" if run.sla in BREACHES else run.sla
    return Text(text, style=SLA_STYLES.get(run.sla, "red"))


def _late(due: datetime | None, started: datetime | None) -> str:
    if due is None or started is None:
        return ""
    return took(max(0, round((started - due) / timedelta(milliseconds=1))))


def tell_end(run: RunView, *, as_json: bool, wanted: RunState = RunState.SUCCESS) -> int:
    """Print how an awaited run ended; 0 when that is as wanted, else 1."""
    if as_json:
        print_json(run.as_json())
    else:
        retries = f", {run.retry_count} retries" if run.retry_count else ""
        reason = f": {run.reason}" if run.reason else ""
        say(f"{run.status} after {took(run.duration_ms) or 'no time'}{retries}{reason}")
    return 0 if run.status is wanted else 1
