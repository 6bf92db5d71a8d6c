"""A dry run for people: each task with its first fires, and what they would meet."""

from datetime import datetime

from rich.console import Console
from rich.text import Text

from domain.triggers import zone_of
from starter.cli.output import plain
from starter.cli.times import full
from starter.rehearsal import FireAhead, Rehearsal, TaskRehearsal

MOST_SHOWN = 100
_SIGNS = {"create": "+", "update": "~", "unchanged": "=", "paused": "="}


def show_rehearsal(screen: Console, rehearsal: Rehearsal, now: datetime) -> None:
    """Print it; of many tasks those first that are not well."""
    for tenant in rehearsal.tenants:
        screen.print(Text(f"~ tenant {tenant['tenant_id']}", style="yellow"))
        for change in tenant["changes"]:
            screen.print(f"    {plain(change)}")
    ordered = sorted(rehearsal.tasks, key=lambda task: task.well)
    for task in ordered[:MOST_SHOWN]:
        _show_task(screen, task, now)
    if len(ordered) > MOST_SHOWN:
        screen.print(f"{len(ordered) - MOST_SHOWN:,} more tasks: --json shows all", style="dim")
    for warning in rehearsal.warnings:
        screen.print(Text(f"! {plain(warning)}", style="magenta"))
    screen.print(Text(_summary(rehearsal), style="bold"))


def _show_task(screen: Console, rehearsed: TaskRehearsal, now: datetime) -> None:
    task = rehearsed.task
    mark = Text("ok  ", style="green") if rehearsed.well else Text("FAIL", style="bold red")
    name = f"  {_SIGNS[rehearsed.change]} {task.tenant_id}/{task.task_id} ({rehearsed.change})"
    screen.print(Text.assemble(mark, name))
    zone = zone_of(task)
    for fire in rehearsed.fires:
        screen.print(Text(f"        {full(fire.trigger_time, zone, now)}: {_verdict(fire)}"))
        for reason in fire.because:
            screen.print(Text(f"            {plain(reason)}", style="dim"))
    if not rehearsed.fires and rehearsed.change != "paused":
        screen.print("        never fires again", style="dim")
    if rehearsed.capacity:
        screen.print(f"        capacity: {plain(rehearsed.capacity)}")
    if rehearsed.proposal:
        screen.print(f"        to avoid it: {plain(str(rehearsed.proposal['text']))}")


def _verdict(fire: FireAhead) -> str:
    if fire.wait_s:
        return f"{fire.verdict.replace('_', ' ')} ({fire.wait_s:.0f} s)"
    return fire.verdict.replace("_", " ")


def _summary(rehearsal: Rehearsal) -> str:
    count = len(rehearsal.tasks)
    bad = sum(not task.well for task in rehearsal.tasks)
    tasks = "1 task" if count == 1 else f"{count:,} tasks"
    end = "all of them well" if not bad else f"{bad:,} would not run as their file says"
    before, after = rehearsal.conflicts_before, rehearsal.conflicts_after
    return f"{tasks} rehearsed: {end}. Conflicts ahead: {before} now, {after} with this file."
