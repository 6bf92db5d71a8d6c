"""A plan as a diff: what is created, updated, deleted, and when it fires before and after."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from domain.limits import takes_events
from domain.triggers import zone_of
from starter.cli.forecast_view import rows_of, told
from starter.cli.output import plain, print_item
from starter.cli.times import relative
from starter.plan import Change, Plan, Wanted
from starter.times import also_utc, clock

MOST_CONFLICTS = 5
MOST_SHOWN = 100
"""Tasks of one kind on a screen; deletions are all shown."""


def show_plan(screen: Console, plan: Plan, now: datetime, *, seconds: float | None) -> None:
    """Print a plan, or what was done when `seconds` says how long that took."""
    for tenant in plan.tenants:
        _print(
            screen,
            Text(f"~ tenant {tenant.tenant_id}", style="yellow"),
            [Text(f"    {plain(text)}") for text in tenant.changes],
        )
    for wanted in plan.created[:MOST_SHOWN]:
        _print(screen, _name("+", wanted, "green"), _times("next", wanted.next_times, wanted, now))
    _more(screen, "+", len(plan.created))
    for change in plan.updated[:MOST_SHOWN]:
        _print(screen, _name("~", change.wanted, "yellow"), _update(change, now))
    _more(screen, "~", len(plan.updated))
    for tenant_id, task_id in plan.deleted:
        _print(screen, Text(f"- {tenant_id}/{task_id}", style="red"))
    if plan.unchanged:
        _print(screen, Text(f"= {plan.unchanged:,} unchanged", style="dim"))
    _show_conflicts(screen, plan, now, applied=seconds is not None)
    for warning in plan.warnings:
        print_item(screen, f"! {warning}", indent=0, style="magenta")
    _print(screen, Text(_summary(plan, seconds), style="bold"))


def _show_conflicts(screen: Console, plan: Plan, now: datetime, *, applied: bool) -> None:
    """How many conflicts lie ahead without the change and with it, and the first of the new."""
    before, after = plan.conflicts_before, plan.conflicts_after
    if before is None or after is None or not (before or after):
        return
    text = f"! conflicts in the next 24 hours: {before:,} before, {after:,} after"
    _print(screen, Text(text, style="magenta" if after > before else "dim"))
    rows = rows_of(plan.new_conflicts)
    for row in rows[:MOST_CONFLICTS]:
        print_item(screen, told(row, now), indent=4, style="dim")
        if row.first.proposal:
            text = f"to avoid it: {row.first.proposal.text}"
            print_item(screen, text, indent=6, style="dim")
    if more := len(rows) - MOST_CONFLICTS if len(rows) > MOST_CONFLICTS else 0:
        where = "`taskflow forecast` shows them" if applied else "--json shows them"
        print_item(screen, f"{more:,} more kinds: {where}", indent=4, style="dim")


def _summary(plan: Plan, seconds: float | None) -> str:
    counts = {
        "create": len(plan.created),
        "update": len(plan.updated),
        "delete": len(plan.deleted),
    }
    total = sum(counts.values())
    said = [f"{count:,} {_word(verb, seconds)}" for verb, count in counts.items() if count]
    if plan.tenants:
        tenants = "1 tenant" if len(plan.tenants) == 1 else f"{len(plan.tenants):,} tenants"
        said.insert(0, f"{tenants} {_word('change', seconds)}")
    if not said:
        return "Nothing to change."
    if seconds is None:
        return f"{', '.join(said)}. Nothing was changed yet: `taskflow apply` does it."
    pace = f" ({total / max(seconds, 0.001):,.0f} a second)" if total else ""
    return f"{', '.join(said)} in {seconds:.1f} s{pace}."


def _word(verb: str, seconds: float | None) -> str:
    return f"to {verb}" if seconds is None else f"{verb}d"


def _name(sign: str, wanted: Wanted, style: str) -> Text:
    tenant_id, task_id = wanted.key
    return Text(f"{sign} {tenant_id}/{task_id}", style=style)


def _update(change: Change, now: datetime) -> Iterable[Text]:
    wanted = change.wanted
    for text in change.changes:
        yield Text(f"    {plain(text)}")
    before, after = change.times_before, wanted.next_times
    if before != after:
        yield from _times("before", before, wanted, now)
        yield from _times("after", after, wanted, now)


def _times(label: str, times: Sequence[datetime], wanted: Wanted, now: datetime) -> Iterable[Text]:
    """One line: the first time in full, the others on the clock of the task's zone."""
    zone = zone_of(wanted.task)
    if not times:
        when = "on events" if takes_events(wanted.task) else "never"
        yield Text(f"    {label:<6} {when}", style="dim")
        return
    first, *others = times
    line = f"    {label:<6} {clock(first, zone)}"
    line += f" ({', '.join(filter(None, [also_utc(first, zone), relative(first, now)]))})"
    yield Text(line, style="dim")
    if others:
        yield Text(" " * 11 + ", ".join(clock(at, zone) for at in others), style="dim")


def _more(screen: Console, sign: str, count: int) -> None:
    if count > MOST_SHOWN:
        _print(screen, Text(f"{sign} {count - MOST_SHOWN:,} more: --json shows all", style="dim"))


def _print(screen: Console, line: Text, below: Iterable[Text] = ()) -> None:
    screen.print(line)
    for text in below:
        screen.print(text)
