"""A dry run for people: each task with its first fires, and what they would meet."""

from datetime import datetime

from rich.console import Console
from rich.text import Text

from domain.limits import takes_events
from domain.triggers import zone_of
from starter.cli.output import print_item
from starter.cli.times import full
from starter.rehearsal import FireAhead, Rehearsal, TaskRehearsal

MOST_SHOWN = 100
_SIGNS = {"create": "+", "update": "~", "unchanged": "="}


def show_rehearsal(screen: Console, rehearsal: Rehearsal, now: datetime) -> None:
    """Print it; of many tasks those first that are not well."""
    for tenant in rehearsal.tenants:
        screen.print(Text(f"~ tenant {tenant['tenant_id']}", style="yellow"))
        for change in tenant["changes"]:
            print_item(screen, change, indent=4)
    ordered = sorted(rehearsal.tasks, key=lambda task: task.well)
    for task in ordered[:MOST_SHOWN]:
        _show_task(screen, task, rehearsal.hours, now)
    if len(ordered) > MOST_SHOWN:
        screen.print(f"{len(ordered) - MOST_SHOWN:,} more tasks: --json shows all", style="dim")
    for warning in rehearsal.warnings:
        print_item(screen, f"! {warning}", indent=0, style="magenta")
    print_item(screen, _summary(rehearsal), indent=0, style="bold")


def _show_task(screen: Console, rehearsed: TaskRehearsal, hours: float, now: datetime) -> None:
    task = rehearsed.task
    mark = Text("ok  ", style="green") if rehearsed.well else Text("FAIL", style="bold red")
    paused = ", paused" if rehearsed.paused else ""
    sign = _SIGNS[rehearsed.change]
    name = f"  {sign} {task.tenant_id}/{task.task_id} ({rehearsed.change}{paused})"
    screen.print(Text.assemble(mark, name))
    zone = zone_of(task)
    for fire in rehearsed.fires:
        when = full(fire.trigger_time, zone, now)
        print_item(screen, f"{when}: {_verdict(fire)}", indent=8)
    if rehearsed.never_runs:
        print_item(screen, "blackouts skip every fire that it ever has", indent=8)
    elif not rehearsed.fires and not rehearsed.paused:
        when = "fires on events" if takes_events(task) else "never fires again"
        print_item(screen, when, indent=8, style="dim")
    if rehearsed.lost:
        fires = "1 fire does" if rehearsed.lost == 1 else f"{rehearsed.lost:,} fires do"
        text = f"in the next {hours:g} h {fires} not run because of others"
        print_item(screen, text, indent=8, style="red")
    if rehearsed.capacity:
        print_item(screen, f"capacity: {rehearsed.capacity}", indent=8)
    if rehearsed.proposal:
        print_item(screen, f"to avoid it: {rehearsed.proposal['text']}", indent=8)


def _verdict(fire: FireAhead) -> str:
    if fire.because:
        return "; ".join(reason.removeprefix("it ") for reason in fire.because)
    return "runs" if fire.verdict == "runs" else "not looked at (--hours)"


def _summary(rehearsal: Rehearsal) -> str:
    count = len(rehearsal.tasks)
    bad = sum(not task.well for task in rehearsal.tasks)
    tasks = "1 task" if count == 1 else f"{count:,} tasks"
    end = "all of them well" if not bad else f"{bad:,} would not run as wanted"
    before, after = rehearsal.conflicts_before, rehearsal.conflicts_after
    ahead = f"Conflicts in the next {rehearsal.hours:g} h: {before:,} as it is"
    return f"{tasks} rehearsed: {end}. {ahead}, {after:,} with this file."
