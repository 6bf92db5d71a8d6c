"""`why`: the reasons behind a run, a fire without one, or the next fire."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import options
from starter.cli.output import console, print_item, print_json, say

if TYPE_CHECKING:
    from temporalio.client import Client

    from starter.answer import Why


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: taskflow why acme/daily-report --at 2026-11-23T02:00:00Z")(why)


def why(
    task: options.Task,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The fire of this time; else what is now, or is next"),
    ] = None,
    tenant: options.Tenant = None,
    as_json: options.Json = False,
) -> None:
    """Say why a run waits, runs or ended so, why a fire made no run, and what the next one meets.

    TASK is a task or a run's id. Without --at, of a task it is about the run under way, or if there
    is none, about the next fire. --at takes the fire's nominal time, or the time that stagger
    and jitter make of it, or when an event was received. The exit code is 0 for every answer, and 1
    for a task that is not registered, or a run that is not there.
    """
    from shared.settings import get_settings
    from starter.cli.names import bad, task_key, tenant_name
    from starter.cli.session import with_temporal
    from starter.when import instant
    from starter.why import explain, explain_run

    is_run = task.startswith("run/") and task.count("/") > 1
    if is_run and at:
        raise bad("at", "a run has its own time: give --at with a task")
    key = None if is_run else task_key(task, tenant)
    tenant_id = tenant_name(tenant)
    moment = instant(at, "at") if at else None
    now = datetime.now(UTC)

    async def work(client: "Client") -> "Why":
        queue = get_settings().task_queue
        if key is None:
            return await explain_run(client, tenant_id, task, now=now, task_queue=queue)
        return await explain(client, *key, at=moment, now=now, task_queue=queue)

    answer = with_temporal(work)
    if as_json:
        print_json(answer.as_json())
    else:
        _show(answer, now)


def _show(answer: "Why", now: datetime) -> None:
    from starter.cli.times import full

    when = f" at {full(answer.at, answer.zone, now)}" if answer.at else ""
    verdict = answer.verdict.replace("_", " ")
    say(f"{answer.tenant_id}/{answer.task_id}{when}: {verdict}")
    if answer.run_id:
        say(f"  run       {answer.run_id}")
    if answer.position:
        say(f"  position  {answer.position} in the tenant's queue")
    if answer.expected_start:
        say(f"  starts    {full(answer.expected_start, answer.zone, now)}, as expected now")
    screen = console()
    for reason in answer.because:
        print_item(screen, f"- {reason}", indent=2)
