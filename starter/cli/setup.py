"""`setup`: make the namespace ready, once for a cluster and again whenever in doubt."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import timedelta
from typing import Annotated

import typer

from starter.cli import options
from starter.cli.output import print_json, say


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: TEMPORAL_NAMESPACE=jobs taskflow setup --retention 30d")(setup)


def setup(
    retention: Annotated[
        str, typer.Option(metavar="DURATION", help="How long closed runs are kept, at least")
    ] = "30d",
    wait: Annotated[
        str, typer.Option(metavar="DURATION", help="How long Temporal may take to come up")
    ] = "0s",
    as_json: options.Json = False,
) -> None:
    """Make the namespace, its retention and its search attributes, where they are missing.

    A second time changes nothing, and a longer retention stays. The namespace is that of
    TEMPORAL_NAMESPACE, or `default`.
    """
    from domain.duration import format_duration
    from shared.settings import get_settings
    from starter.cli.session import run
    from starter.setup import Setup, reach_within, set_up

    keeps, seconds = _length("retention", retention), _length("wait", wait).total_seconds()

    async def work() -> Setup:
        patience = get_settings().temporal_timeout
        return await set_up(await reach_within(seconds, patience), keeps)

    done = run(work())
    if as_json:
        print_json(done.as_json())
        return
    kept = format_duration(done.retention)
    if not done.changed:
        say(f"Namespace {done.namespace} was ready: runs are kept for {kept}.")
        return
    if done.created:
        say(f"Namespace {done.namespace} is made: runs are kept for {kept}.")
    if done.retention_raised:
        say(f"Namespace {done.namespace} keeps runs for {kept} from now on.")
    if done.search_attributes_added:
        say(f"Search attributes added: {', '.join(done.search_attributes_added)}.")


def _length(option: str, text: str) -> timedelta:
    from domain.duration import parse_duration
    from starter.cli.names import bad

    try:
        return parse_duration(text)
    except ValueError as error:
        raise bad(option, str(error)) from None
