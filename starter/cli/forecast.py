"""`forecast`: what will collide, and what to change so that it does not."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import options
from starter.cli.output import console, print_json, progress

if TYPE_CHECKING:
    from temporalio.client import Client

    from domain.forecast import Forecast

MOST_HOURS = 168  # as in starter.forecast, which takes long to load


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: taskflow forecast --hours 12 --tenant acme")(forecast)


def forecast(
    hours: Annotated[
        int, typer.Option(min=1, max=MOST_HOURS, metavar="N", help="How far to look ahead")
    ] = 24,
    tenant: options.Tenant = None,
    as_json: options.Json = False,
) -> None:
    """Show what will wait, be skipped or break its SLA, and the smallest change that helps.

    Every fire of the next hours goes through the rules that decide live, with the durations that
    runs had lately.
    """
    from shared.settings import get_settings
    from starter.cli.forecast_view import show_forecast
    from starter.cli.names import tenant_name
    from starter.cli.session import with_temporal
    from starter.forecast import document, make_forecast

    tenant_id = tenant_name(tenant)
    now = datetime.now(UTC)

    async def work(client: "Client") -> "Forecast":
        with progress() as total:
            return await make_forecast(
                client, tenant_id, hours, now, task_queue=get_settings().task_queue, total=total
            )

    found = with_temporal(work)
    if as_json:
        print_json(document(found))
    else:
        show_forecast(console(), found, now)
