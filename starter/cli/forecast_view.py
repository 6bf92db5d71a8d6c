"""A forecast on a screen: what is alike once, with how often."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.console import Console
from rich.text import Text

from domain.duration import format_duration
from domain.forecast import ConflictAhead, Forecast
from domain.simulation import Outcome
from starter.cli.output import plain, print_trimmed, table
from starter.cli.times import relative
from starter.times import also_utc, clock

MOST_SHOWN = 50
"""Rows on a screen; the JSON document has all conflicts."""

_SAID = {
    Outcome.WAITS: "waits",
    Outcome.QUEUE_TIMEOUT: "waits until its queue_timeout",
    Outcome.SKIPPED: "is skipped",
    Outcome.FAILED: "fails",
    Outcome.RUNS_BESIDE: "runs in spite of it",
    Outcome.CANCELS: "replaces the run before",
}


@dataclass(slots=True)
class Row:
    """Conflicts that are alike: the first of them, how many, and the longest wait in seconds."""

    first: ConflictAhead
    count: int = 0
    longest: float | None = None

    def add(self, conflict: ConflictAhead) -> None:
        """Another one, later than those before."""
        self.count += 1
        if conflict.wait_s is not None:
            self.longest = max(self.longest or 0.0, conflict.wait_s)


def rows_of(conflicts: list[ConflictAhead]) -> list[Row]:
    """One row for each tenant, kind, resource, set of tasks and outcome, the earliest first."""
    rows: dict[tuple[object, ...], Row] = {}
    for conflict in conflicts:
        key = (
            conflict.tenant_id,
            conflict.kind,
            conflict.resource,
            conflict.tasks[0],
            frozenset(conflict.tasks[1:]),
            conflict.outcome,
        )
        rows.setdefault(key, Row(conflict)).add(conflict)
    return list(rows.values())


def told(row: Row, now: datetime) -> str:
    """A row in a sentence: what, how often, and when first."""
    first = row.first
    more = ", ".join(filter(None, [also_utc(first.at, first.zone), relative(first.at, now)]))
    when = f"{clock(first.at.replace(microsecond=0), first.zone)} ({more})"
    often = "" if row.count == 1 else f"{row.count:,} times, first "
    task = f"{first.tenant_id}/{first.tasks[0]}"
    return f"{task} {first.outcome_text()}: {often}{when}"


def show_forecast(screen: Console, found: Forecast, now: datetime) -> None:
    """Print it, within 100 columns."""
    hours = (found.end - found.start) / timedelta(hours=1)
    looked = f"{found.fires:,} {_fires(found.fires)} of {found.tasks:,} {_tasks(found.tasks)}"
    if not found.total:
        screen.print(f"No conflict in the next {hours:g} h: {looked}.")
        return
    rows = rows_of(found.conflicts)
    columns = table("Conflict", "Task", "First", "Times", "Wait", whole=("First", "Times", "Wait"))
    for row in rows[:MOST_SHOWN]:
        first = row.first
        columns.add_row(
            Text(f"{first.kind}\n{plain(first.resource)}"),
            _task(first),
            _time(first, now),
            f"{row.count:,}",
            "never" if row.longest is None else _wait(row.longest),
        )
    print_trimmed(screen, columns)
    if len(rows) > MOST_SHOWN:
        screen.print(Text(f"{len(rows) - MOST_SHOWN:,} more: --json shows all", style="dim"))
    if found.total > len(found.conflicts):
        text = f"The first {len(found.conflicts):,} of {found.total:,} conflicts are shown."
        screen.print(Text(text, style="dim"))
    word = "conflict" if found.total == 1 else "conflicts"
    summary = f"{found.total:,} {word} in the next {hours:g} h: {looked}."
    screen.print(Text(summary, style="bold"))


def _task(first: ConflictAhead) -> Text:
    """The task and what becomes of it; below, who is in its way and what would help."""
    text = Text(f"{first.tenant_id}/{first.tasks[0]}")
    text.append(f" {_SAID[first.outcome]}", style="yellow")
    others = [task for task in first.tasks[1:] if task != first.tasks[0]]
    if others:
        text.append(f"\nwhile {', '.join(others)} {'holds' if len(others) == 1 else 'hold'} it")
    elif len(first.tasks) > 1:
        text.append("\nwhile its own earlier run has not ended")
    if first.proposal:
        text.append(f"\n-> {plain(first.proposal.text)}", style="green")
    return text


def _time(first: ConflictAhead, now: datetime) -> str:
    more = filter(None, [also_utc(first.at, first.zone), relative(first.at, now)])
    return f"{clock(first.at.replace(microsecond=0), first.zone)}\n{', '.join(more)}"


def _wait(seconds: float) -> str:
    return format_duration(timedelta(seconds=round(seconds)))


def _fires(count: int) -> str:
    return "fire" if count == 1 else "fires"


def _tasks(count: int) -> str:
    return "task" if count == 1 else "tasks"
