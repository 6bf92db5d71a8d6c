"""`plan`, `apply`, `register`: task files and what they change."""
# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import options
from starter.cli.output import confirm, console, print_json, progress

if TYPE_CHECKING:
    from starter.plan import Plan

Prune = Annotated[
    bool,
    typer.Option("--prune", help="Also delete tasks of the file's tenants that it does not have"),
]
MOST_NAMED = 5


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: taskflow plan tasks.yaml --prune")(plan)
    app.command(epilog="Example: taskflow apply tasks.yaml --tenant acme")(apply)
    app.command(epilog="Example: cat task.json | taskflow register - --tenant acme")(register)
    app.command(epilog="Example: taskflow dryrun tasks.yaml --hours 48")(dryrun)


def plan(
    file: options.File,
    tenant: options.Tenant = None,
    prune: Prune = False,
    as_json: options.Json = False,
) -> None:
    """Show what apply would change, and change nothing."""
    _change(file, tenant, prune=prune, as_json=as_json, ask=None)


def apply(
    file: options.File,
    tenant: options.Tenant = None,
    prune: Prune = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Make what is registered what the file says.

    A task that is paused stays paused. On a terminal, --prune asks before it deletes.
    """
    _change(file, tenant, prune=prune, as_json=as_json, ask=_no_question if yes else confirm)


def register(
    file: options.File, tenant: options.Tenant = None, as_json: options.Json = False
) -> None:
    """Register the tasks of a file, or one task.

    What is registered already is updated; nothing is deleted.
    """
    _change(file, tenant, prune=False, as_json=as_json, ask=_no_question, each=True)


def _change(
    file: Path,
    tenant: str | None,
    *,
    prune: bool,
    as_json: bool,
    ask: Callable[[str], bool] | None,
    each: bool = False,
) -> None:
    """Plan, and unless `ask` is None carry it out, once `ask` agrees to what would be deleted.

    `each`: the document says of each task what was done to it.
    """
    from temporalio.client import Client

    from domain.problems import InvalidInput
    from shared.errors import Refused
    from shared.settings import get_settings
    from starter.cli.plan_view import show_plan
    from starter.cli.session import with_temporal
    from starter.cli.taskfile import read_tasks
    from starter.conflicts import add_conflicts
    from starter.register import Registered
    from starter.registry import carry_out, make_plan

    tasks = read_tasks(file, tenant)
    queue = get_settings().task_queue

    async def work(client: Client) -> "tuple[Plan, float]":
        with progress() as total:
            planned = await make_plan(
                client, tasks.registration, task_queue=queue, prune=prune, total=total
            )
            await add_conflicts(client, planned, datetime.now(UTC))
        if ask is None:
            return planned, 0.0
        if planned.deleted and not ask(_question(planned)):
            raise Refused("nothing was changed")
        began = time.monotonic()
        with progress() as total:
            done = await carry_out(client, planned, total=total)
        return done, time.monotonic() - began

    try:
        result, seconds = with_temporal(work)
    except InvalidInput as error:  # it does not fit what is registered
        raise tasks.placed(error) from error
    now = datetime.now(UTC)
    if as_json and each:
        print_json(Registered(result).as_json())
    elif as_json:
        print_json(result.as_json())
    else:
        show_plan(console(), result, now, seconds=None if ask is None else seconds)


def _question(planned: "Plan") -> str:
    names = [f"{tenant}/{task}" for tenant, task in planned.deleted]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    what = "1 task" if len(names) == 1 else f"{len(names):,} tasks"
    return f"Delete {what} ({', '.join(names[:MOST_NAMED])}{more})?"


def _no_question(_question: str) -> bool:
    return True


def dryrun(
    file: options.File,
    tenant: options.Tenant = None,
    *,
    hours: Annotated[
        float, typer.Option(min=0.1, max=24 * 31, help="How far ahead to look for conflicts")
    ] = 24.0,
    capacity: Annotated[
        bool,
        typer.Option("--capacity", help="Also reserve at the capacity service, and give back"),
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="The file by itself, without Temporal")
    ] = False,
    as_json: options.Json = False,
) -> int:
    """Rehearse a task file: its registration and the first fires of its tasks.

    Nothing is changed. The exit code is 1 when a conflict would skip or fail a fire of the hours
    looked at, when blackouts skip all fires of a task, when capacity is not to be had, or when no
    worker can say what is registered; 2 when the file is refused; 3 without Temporal.
    """
    from temporalio.client import Client

    from domain.problems import InvalidInput
    from shared.settings import get_settings
    from starter.cli.rehearsal_view import show_rehearsal
    from starter.cli.session import run, with_temporal
    from starter.cli.taskfile import read_tasks
    from starter.rehearsal import Rehearsal, rehearse

    tasks = read_tasks(file, tenant)
    now = datetime.now(UTC)

    async def work(client: Client | None) -> Rehearsal:
        settings = get_settings()
        return await rehearse(
            client, tasks.registration, settings, now=now, hours=hours, capacity=capacity
        )

    try:
        rehearsal = run(work(None)) if offline else with_temporal(work)
    except InvalidInput as error:
        raise tasks.placed(error) from error
    if as_json:
        print_json(rehearsal.as_json())
    else:
        show_rehearsal(console(), rehearsal, now)
    return 0 if rehearsal.well else 1
