"""`preview` and `doctor`: when an expression fires, and what is missing."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from starter.cli import options
from starter.cli.output import console, print_json, say


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: taskflow preview '0 2 * * 1-5' --timezone Europe/Berlin")(preview)
    app.command(epilog="Example: taskflow doctor")(doctor)


def preview(
    cron: Annotated[str, typer.Argument(metavar="CRON", show_default=False)],
    timezone: Annotated[str, typer.Option("--timezone", "-z", metavar="ZONE")] = "UTC",
    after: Annotated[
        str | None, typer.Option(metavar="TIME", help="Fires after this time; now if left out")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=1000)] = 5,
    as_json: options.Json = False,
) -> None:
    """Show when a cron expression fires."""
    from starter.preview import preview as document_of

    now = datetime.now(UTC)
    if after is None:
        start = now
    else:
        from starter.when import instant

        start = instant(after, "after")
    document = document_of(cron, timezone, after=start, count=count)
    if as_json:
        print_json(document)
    else:
        _show(document, now)


def _show(document: dict[str, Any], now: datetime) -> None:
    from starter.cli.times import full

    zone = document["timezone"]
    say(f"{document['description']} ({zone})")
    for text in document["times"]:
        say(f"  {full(datetime.fromisoformat(text), zone, now)}")


def doctor(as_json: options.Json = False) -> int:
    """Check everything that runs need.

    What is not well comes with its remedy; the exit code is then 1.
    """
    from rich.text import Text

    from shared.settings import get_settings
    from starter.cli.output import print_beside
    from starter.cli.session import run
    from starter.doctor import Check, examine

    screen = console()

    async def work() -> list[Check]:
        checks: list[Check] = []
        async for check in examine(get_settings()):
            checks.append(check)
            if as_json:
                continue
            mark = Text("ok  ", style="green") if check.ok else Text("FAIL", style="bold red")
            print_beside(screen, Text.assemble(mark, f"  {check.name:<18} "), check.detail)
            if not check.ok and check.fix:
                print_beside(screen, Text(f"      {'':<18} -> "), check.fix)
        return checks

    checks = run(work())
    if as_json:
        print_json({"checks": [check.as_json() for check in checks]})
    return 0 if all(check.ok for check in checks) else 1
