"""`breakers`: plugins whose calls failed of late, and whether new ones wait."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from starter.cli import options
from starter.cli.output import console, print_json, say

if TYPE_CHECKING:
    from starter.breakers import BreakerRow


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: taskflow breakers")(breakers)


def breakers(as_json: options.Json = False) -> None:
    """Show plugins whose calls failed of late, and whether new ones wait.

    A breaker opens when a plugin fails for everybody, lets one call at a time try it, and closes
    by itself when that goes well.
    """
    from starter.breakers import list_breakers
    from starter.cli.session import with_temporal

    rows = with_temporal(list_breakers)
    if as_json:
        print_json({"breakers": [row.as_json() for row in rows]})
        return
    if not rows:
        say("No plugin failed of late: there are no breakers.")
        return
    _show(rows, datetime.now(UTC))


def _show(rows: "list[BreakerRow]", now: datetime) -> None:
    from starter.cli.output import plain, print_item, print_trimmed, table
    from starter.cli.times import relative, stamp

    screen = console()
    found = table("plugin", "state", "since (UTC)", "next probe", "failures", whole=["state"])
    for row in rows:
        probe = relative(row.next_probe, now) if row.next_probe else "-"
        if row.view and row.view.probe:
            probe = "under way"
        count = "?"
        if row.view:
            count = str(row.view.incident_failures if row.is_open else row.view.failures)
        found.add_row(
            plain(row.circuit.plugin_id),
            row.circuit.state,
            stamp(row.since, "UTC", now),
            probe,
            count,
        )
    print_trimmed(screen, found)
    for row in rows:
        if row.is_open:
            text = f"{row.circuit.plugin_id}: {row.circuit.reason}"
            if row.view and row.view.work_order_id:
                text += f"; {row.view.work_order_id}"
            print_item(screen, text, indent=2)
        if row.view is None:
            text = f"{row.circuit.plugin_id}: no worker answers, so this may be old"
            print_item(screen, text, indent=2)
