"""`runs` and `cancel`: what ran, and ending what runs."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import UTC, datetime
from typing import Annotated

import typer

from domain.states import RunState
from starter.cli import options
from starter.cli.output import console, print_json, say


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: taskflow runs acme/daily-report --status FAILED --since 2h")(runs)
    app.command(epilog="Example: taskflow cancel run/acme/daily-report-2026-11-23T02:00:00Z")(
        cancel
    )


def runs(  # noqa: PLR0917 - typer calls it by name
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="task-id or tenant/task-id; else all")
    ] = None,
    tenant: options.Tenant = None,
    status: Annotated[
        RunState | None, typer.Option(case_sensitive=False, help="Only runs in this state")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Started since: 2h, 3d, or a time")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many")] = 50,
    as_json: options.Json = False,
) -> None:
    """List runs, newest first."""
    from temporalio.client import Client

    from starter import when
    from starter.cli import names
    from starter.cli.run_view import show_runs
    from starter.cli.session import with_temporal
    from starter.control import describe_task
    from starter.runs import RunView, list_runs, with_pauses

    now = datetime.now(UTC)
    tenant_id, task_id = (
        names.loose_key(task, tenant) if task else (names.tenant_name(tenant), None)
    )
    earliest = when.since(since, now) if since else None

    async def work(client: Client) -> list[RunView]:
        found = await list_runs(
            client,
            tenant_id=tenant_id,
            task_id=task_id,
            status=status,
            since=earliest,
            limit=limit,
        )
        if not found and tenant_id and task_id:
            await describe_task(client, tenant_id, task_id)  # no runs, or no such task?
        return await with_pauses(client, found)

    found = with_temporal(work)
    if as_json:
        print_json({"runs": [run.as_json() for run in found]})
    else:
        show_runs(console(), found, limit=limit, filtered=bool(task or status or since))


def cancel(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run", show_default=False)],
    tenant: options.Tenant = None,
    wait: options.Wait = False,
    as_json: options.Json = False,
) -> int:
    """Ask a run to stop.

    It closes its plugin call and ends CANCELLED.
    """
    from temporalio.client import Client

    from starter import control
    from starter.cli.names import tenant_name
    from starter.cli.run_view import tell_end
    from starter.cli.session import with_temporal
    from starter.runs import RunView, await_end

    tenant_id = tenant_name(tenant)

    async def work(client: Client) -> RunView | None:
        await control.cancel(client, tenant_id, run)
        return await await_end(client, run) if wait else None

    ended = with_temporal(work)
    if ended:
        return tell_end(ended, as_json=as_json, wanted=RunState.CANCELLED)
    if as_json:
        print_json({"run_id": run, "cancel_requested": True})
    else:
        say(f"Asked {run} to stop. `taskflow runs` shows when it has.")
    return 0
