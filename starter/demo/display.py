"""The demo's progress: a live table on a terminal, plain lines without one."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from domain.due import next_due
from domain.states import RunState
from domain.task import Task
from shared.schedules import trigger_text
from starter.demo.scenario import Key
from starter.runs import RunView

PLAIN_WIDTH = 100
COLOURS = {
    RunState.SUCCESS: "green",
    RunState.FAILED: "red",
    RunState.CANCELLED: "yellow",
    RunState.RUNNING: "cyan",
}


def make_console() -> Console:
    """Standard output: as wide as the terminal, or 100 columns where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=PLAIN_WIDTH, highlight=False)


class Display:
    """Shows the runs so far; `update` may be called as often as one likes."""

    def __init__(self, console: Console, tasks: Sequence[Task], until: datetime) -> None:
        self._console = console
        self._tasks = tasks
        self._until = until
        self._told: set[str] = set()
        self._runs: Sequence[RunView] = ()
        self._note = ""
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.__exit__(kind, error, trace)

    def update(self, runs: Sequence[RunView], note: str = "") -> None:
        """Show these runs; `note` says what the demo waits for."""
        self._runs = runs
        if self._live:
            self._live.update(self._table(note), refresh=True)
            return
        if note and note != self._note:
            self._console.print(note)
        self._note = note
        for run in reversed(runs):
            if run.ended and run.run_id not in self._told:
                self._told.add(run.run_id)
                self._console.print(run_line(run))

    def _table(self, note: str) -> Table:
        now = datetime.now(UTC)
        left = max(0, round((self._until - now).total_seconds()))
        title = note or (f"{left} s to go" if left else "waiting for the last runs to end")
        table = Table(title=title, title_justify="left", expand=False, min_width=80)
        for heading in ("task", "triggers"):
            table.add_column(heading, no_wrap=True)
        for heading in ("running", "success", "failed", "retries", "next in"):
            table.add_column(heading, justify="right")
        counts: dict[Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for run in self._runs:
            count = counts[run.tenant_id, run.task_id]
            count[run.status if run.ended else RunState.RUNNING] += 1
            count["retries"] += run.retry_count
        for task in self._tasks:
            count = counts[task.tenant_id, task.task_id]
            upcoming = next_due(task, 1, after=now)
            wait = (upcoming[0] - now).total_seconds() if upcoming else None
            table.add_row(
                f"{task.tenant_id}/{task.task_id}",
                trigger_text(task.triggers[-1].model_dump(mode="json")),
                str(count[RunState.RUNNING] or ""),
                f"[green]{count[RunState.SUCCESS] or ''}",
                f"[red]{count[RunState.FAILED] or ''}",
                str(count["retries"] or ""),
                "" if wait is None or wait > 24 * 3600 else f"{wait:.0f} s",
            )
        return table


def run_line(run: RunView) -> str:
    """One ended run in one line."""
    at = run.trigger_time.strftime("%H:%M:%S") if run.trigger_time else "?"
    seconds = f"{(run.duration_ms or 0) / 1000:.1f} s"
    retries = f", retried {run.retry_count} x" if run.retry_count else ""
    code = f" {run.error_code}" if run.error_code else ""
    colour = COLOURS.get(run.status, "default")
    task = f"{run.tenant_id}/{run.task_id}"
    details = f"({run.trigger_kind}, {seconds}{retries})"
    return f"{at}  {task:<24} [{colour}]{run.status}[/]{code}  {details}"


def runs_table(runs: Sequence[RunView]) -> Table:
    """Every run, oldest first."""
    table = Table(title="Runs", title_justify="left")
    table.add_column("fired (UTC)", no_wrap=True)
    table.add_column("task", no_wrap=True)
    table.add_column("by")
    table.add_column("status", no_wrap=True)
    table.add_column("retries", justify="right")
    table.add_column("took", justify="right")
    table.add_column("error code", overflow="fold")
    for run in sorted(runs, key=lambda run: (str(run.trigger_time), run.run_id)):
        table.add_row(
            run.trigger_time.strftime("%H:%M:%S") if run.trigger_time else "",
            f"{run.tenant_id}/{run.task_id}",
            run.trigger_kind or "",
            f"[{COLOURS.get(run.status, 'default')}]{run.status}",
            str(run.retry_count or ""),
            f"{run.duration_ms / 1000:.1f} s" if run.duration_ms is not None else "",
            run.error_code or "",
        )
    return table
