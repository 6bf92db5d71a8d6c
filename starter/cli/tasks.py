"""`list`, `show`, `trigger`, `delete`, and beside them `pause` and `resume`: registered tasks."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import UTC, datetime
from typing import Annotated

import typer

from starter.cli import holding, options
from starter.cli.output import confirm, console, print_json, say


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list", epilog="Example: taskflow list --tenant acme")(list_)
    app.command(epilog="Example: taskflow show acme/daily-report")(show)
    holding.add_to(app)
    app.command(
        epilog="""Example: taskflow trigger acme/daily-report --payload '{"day": 3}' --wait"""
    )(trigger)
    app.command(epilog="Example: taskflow delete acme/daily-report --yes")(delete)


def list_(tenant: options.Tenant = None, as_json: options.Json = False) -> None:
    """List the tasks of a tenant, or of all."""
    from starter.cli.names import tenant_name
    from starter.cli.session import with_temporal
    from starter.cli.task_view import show_list
    from starter.tasks import list_tasks

    tenant_id = tenant_name(tenant)
    tasks = with_temporal(lambda client: list_tasks(client, tenant_id))
    if as_json:
        print_json({"tasks": [task.as_json() for task in tasks]})
    else:
        show_list(console(), tasks, tenant_id, datetime.now(UTC))


def show(task: options.Task, tenant: options.Tenant = None, as_json: options.Json = False) -> None:
    """Show a task, its next times, runs and open attempts."""
    from starter.cli.names import task_key
    from starter.cli.session import with_temporal
    from starter.cli.task_view import show_detail
    from starter.tasks import show_task

    key = task_key(task, tenant)
    detail = with_temporal(lambda client: show_task(client, *key))
    if as_json:
        print_json(detail.as_json())
    else:
        show_detail(console(), detail, datetime.now(UTC))


def trigger(  # noqa: PLR0917 - typer calls it by name
    task: options.Task,
    tenant: options.Tenant = None,
    payload: Annotated[
        str | None, typer.Option(metavar="JSON", help="A value for the plugin's call")
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key is the same run, ever again")
    ] = None,
    wait: options.Wait = False,
    as_json: options.Json = False,
) -> int:
    """Start a run now, beside the task's schedule.

    A paused task runs too.
    """
    from temporalio.client import Client

    from starter import control
    from starter.cli.names import key_of, payload_of, task_key
    from starter.cli.run_view import tell_end
    from starter.cli.session import with_temporal
    from starter.runs import RunView, await_end

    tenant_id, task_id = task_key(task, tenant)
    value, run_key = payload_of(payload), key_of(key)

    async def work(client: Client) -> tuple[str, RunView | None]:
        run_id = await control.trigger(client, tenant_id, task_id, payload=value, key=run_key)
        if not wait:
            return run_id, None
        if not as_json:
            say(f"Started {run_id}", now=True)
        return run_id, await await_end(client, run_id)

    run_id, ended = with_temporal(work)
    if ended:
        return tell_end(ended, as_json=as_json)
    if as_json:
        print_json({"run_id": run_id})
    else:
        say(f"Started {run_id}")
    return 0


def delete(
    task: options.Task,
    tenant: options.Tenant = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Unregister a task; its runs stay. On a terminal it asks first."""
    from starter import control
    from starter.cli.names import task_key
    from starter.cli.session import with_temporal

    tenant_id, task_id = task_key(task, tenant)
    if not yes and not confirm(f"Delete {tenant_id}/{task_id}?"):
        from shared.errors import Refused

        raise Refused("nothing was changed")
    with_temporal(lambda client: control.delete(client, tenant_id, task_id))
    if as_json:
        print_json({"tenant_id": tenant_id, "task_id": task_id, "deleted": True})
    else:
        say(f"Deleted {tenant_id}/{task_id}. Its runs stay in `taskflow runs`.")
