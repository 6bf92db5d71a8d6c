"""Tasks on a screen: the list, and one in full."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.describe import describe_cron
from domain.duration import format_duration
from domain.limits import takes_events
from domain.task import CronTrigger, Task, Trigger
from shared.schedules import trigger_text
from starter.cli.output import plain, print_trimmed, say, table
from starter.cli.run_view import STYLES, print_runs
from starter.cli.times import full, relative
from starter.executions import progress_text
from starter.tasks import Attempt, TaskDetail, TaskView
from starter.times import also_utc, clock

MOST_LISTED = 200
"""Characters of a task's triggers in the list; filters are long."""
MOST_SHOWN = 300


def show_list(screen: Console, tasks: list[TaskView], tenant_id: str | None, now: datetime) -> None:
    """A table by tenant and id; an empty one says what to do."""
    if not tasks:
        whose = f" of tenant {tenant_id}" if tenant_id else ""
        screen.print(f"No tasks{whose} yet: `taskflow apply FILE` registers those of a file.")
        return
    columns = table("Task", "Plugin", "Fires", "Next", "Last run", whole=("Next", "Last run"))
    for task in tasks:
        columns.add_row(
            f"{task.tenant_id}/{task.task_id}",
            task.plugin_id or "?",
            plain(_cut("; ".join(trigger_text(trigger) for trigger in task.triggers), MOST_LISTED)),
            _next(task, now),
            _last(task),
        )
    print_trimmed(screen, columns)


def _last(task: TaskView) -> Text:
    status = task.last_status
    return Text(status, style=STYLES.get(status, "")) if status else Text("")


def _next(task: TaskView, now: datetime) -> Text:
    if task.paused:
        return Text("paused", style="yellow")
    if not task.next_times:
        events = any("event" in trigger for trigger in task.triggers)
        return Text("on events" if events else "never", style="dim")
    zone = next((t["timezone"] for t in task.triggers if "timezone" in t), "UTC")
    at = task.next_times[0]
    below = ", ".join(filter(None, [also_utc(at, zone), relative(at, now)]))
    return Text(clock(at, zone)).append(f"\n{below}", style="dim")


def show_detail(screen: Console, detail: TaskDetail, now: datetime) -> None:
    """Everything of one task: what it says, its state, its times, its runs."""
    task = detail.task
    screen.print(Text(f"{task.tenant_id}/{task.task_id}", style="bold"))
    if task.description:
        screen.print(plain(task.description))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in _facts(detail, now):
        grid.add_row(label, text)
    print_trimmed(screen, grid)
    for attempt in detail.attempts:
        screen.print(_attempt(attempt, now), style="cyan")
    if detail.runs:
        screen.print()
        print_runs(screen, detail.runs, detail.zone)
    else:
        name = f"{task.tenant_id}/{task.task_id}"
        say(f"No runs yet: `taskflow trigger {name}` starts one now.")


def _facts(detail: TaskDetail, now: datetime) -> Iterator[tuple[str, str | Text]]:
    task = detail.task
    if detail.paused:
        yield "state", Text(plain(detail.note or "paused"), style="yellow")
    else:
        yield "state", Text("active", style="green")
    yield "plugin", f"{task.plugin_id} {_short(task.params)}"
    yield "fires", "\n".join(_trigger(trigger) for trigger in task.triggers)
    times = [full(at, detail.zone, now) for at in detail.next_times]
    yield "next", "\n".join(times) or ("on events" if takes_events(task) else "never again")
    yield "rules", _rules(task)
    yield (
        "so far",
        f"{detail.fired:,} fires started, {detail.skipped_overlap:,} skipped by overlap, "
        f"{detail.missed_catchup:,} missed",
    )
    changed = detail.updated_at or detail.created_at
    yield "changed", f"{clock(changed)} ({relative(changed, now)})"


def _trigger(trigger: Trigger) -> str:
    text = trigger_text(trigger.model_dump(mode="json"))
    if isinstance(trigger, CronTrigger):
        return plain(f"{text}: {describe_cron(trigger.expression())}")
    return plain(text)


def _rules(task: Task) -> str:
    retry = task.retry
    return (
        f"{retry.max_attempts} attempts of at most {format_duration(task.timeout)}, "
        f"first retry after {format_duration(retry.initial_interval)}; overlap {task.overlap}, "
        f"catch-up {format_duration(task.catchup)}, priority {task.priority}"
    )


def _attempt(attempt: Attempt, now: datetime) -> str:
    waits = attempt.next_at is not None and attempt.next_at > now
    when = f", starts {relative(attempt.next_at, now)}" if waits and attempt.next_at else ""
    failure = f"; the last one: {attempt.last_failure}" if attempt.last_failure else ""
    count = f"attempt {attempt.attempt} of {attempt.max_attempts}"
    told = f"; {progress_text(attempt.progress)}" if attempt.progress else ""
    return plain(f"{attempt.run_id}: {count}{when}{told}{failure}")


def _short(params: dict[str, Any]) -> str:
    text = json.dumps(params, ensure_ascii=False) if params else ""
    return plain(_cut(text, MOST_SHOWN))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
