"""`backfill`: fires of the past that have no run."""
# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import options
from starter.cli.output import print_json, progress, say

if TYPE_CHECKING:
    from temporalio.client import Client

    from starter.backfill import Backfill

MOST_NAMED = 10


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: taskflow backfill acme/report --from 6h --dry-run")(backfill)


def backfill(  # noqa: PLR0917 - typer calls it by name
    task: options.Task,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First nominal time, or how long ago: 6h")
    ],
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Last one; now if left out")
    ] = None,
    tenant: options.Tenant = None,
    rate: Annotated[
        float, typer.Option(min=0.1, max=1000, metavar="N", help="Runs started in a second")
    ] = 20.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run")] = False,
    as_json: options.Json = False,
) -> None:
    """Run the fires of the past that have no run.

    Oldest first, and each under the id that its schedule would have given it, so that none runs
    twice: a backfill that was interrupted is finished by the same command.
    """
    from starter.backfill import find_fires, run_fires
    from starter.cli.names import task_key, who
    from starter.cli.session import with_temporal
    from starter.when import since

    key = task_key(task, tenant)
    now = datetime.now(UTC)
    first, last = since(start, now, "from"), since(end, now, "to") if end else now

    async def work(client: "Client") -> "Backfill":
        found = await find_fires(client, *key, start=first, end=last)
        if not dry_run:
            with progress() as total:
                advance = total("Backfilling", len(found.absent))
                await run_fires(client, found, who=who(), per_second=rate, advance=advance)
        return found

    found = with_temporal(work)
    if as_json:
        print_json(found.as_json(dry_run=dry_run))
        return
    for due in found.absent[:MOST_NAMED]:
        say(f"  {found.run_id(due)}")
    if len(found.absent) > MOST_NAMED:
        say(f"  ... and {len(found.absent) - MOST_NAMED} more")
    done = "to start" if dry_run else "started"
    say(f"{len(found.absent)} {done}, {len(found.present)} had a run already.")
