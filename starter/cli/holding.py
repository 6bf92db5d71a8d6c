"""`pause` and `resume`: of a task, of its open runs, of one run, of a whole tenant."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import options
from starter.cli.output import confirm, print_json, say

if TYPE_CHECKING:
    from starter.holding import Held

What = Annotated[
    str | None,
    typer.Argument(
        metavar="TASK|RUN",
        help="task-id, tenant/task-id, or the id of a run",
        show_default=False,
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every task of the tenant")]
Named = tuple[str, str] | str | None
"""A task's key, a run's id, or None for a whole tenant."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="Example: taskflow pause acme/daily-report --running --reason 'until the fix'"
    )(pause)
    app.command(epilog="Example: taskflow resume acme/daily-report --running")(resume)


def pause(  # noqa: PLR0917 - typer calls it by name
    what: What = None,
    tenant: options.Tenant = None,
    reason: Annotated[str, typer.Option(help="Why; kept with what is paused")] = "",
    running: Annotated[
        bool, typer.Option("--running", help="Also hold the runs that are open now")
    ] = False,
    all_: All = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Stop a task's fires until it is resumed, or hold a run.

    Runs under way go on, unless --running holds them too. A run is held at its next safe point:
    before its plugin is called, or between two attempts. It gives back what it holds meanwhile. On
    a terminal, --all asks first.
    """
    from temporalio.client import Client

    from starter import control, holding
    from starter.cli.names import who
    from starter.cli.session import with_temporal

    tenant_id, named = _named(what, tenant, all_=all_)
    if isinstance(named, str):
        run_id = named
        with_temporal(
            lambda client: holding.pause_run(client, tenant_id, run_id, who=who(), reason=reason)
        )
        _tell_run(run_id, paused=True, as_json=as_json)
        return
    if named is None:
        ask = _question("Pause", tenant_id or "", running=running, yes=yes)
        held = with_temporal(
            lambda client: holding.pause_all(
                client, tenant_id or "", who=who(), reason=reason, running=running, confirm=ask
            )
        )
        _tell_all(tenant_id or "", held, paused=True, running=running, as_json=as_json)
        return
    key = named

    async def work(client: Client) -> list[str]:
        await control.pause(client, *key, who=who(), reason=reason)
        if not running:
            return []
        return await holding.pause_runs(client, *key, who=who(), reason=reason)

    runs = with_temporal(work)
    if as_json:
        print_json({"tenant_id": key[0], "task_id": key[1], "paused": True, "runs": runs})
        return
    name = f"{key[0]}/{key[1]}"
    more = f", and {_count(runs, 'open run')}" if running else ""
    option = " --running" if running else ""
    say(f"Paused {name}{more}. `taskflow resume {name}{option}` ends it.")


def resume(  # noqa: PLR0917 - typer calls it by name
    what: What = None,
    tenant: options.Tenant = None,
    running: Annotated[
        bool, typer.Option("--running", help="Also let the runs go on that are held")
    ] = False,
    all_: All = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Let a paused task fire again, or a run go on that is held.

    The fires of the pause are not caught up. Runs that are held stay so without --running. On a
    terminal, --all asks first: it resumes what others paused, too.
    """
    from temporalio.client import Client

    from starter import control, holding
    from starter.cli.names import who
    from starter.cli.session import with_temporal

    tenant_id, named = _named(what, tenant, all_=all_)
    if isinstance(named, str):
        run_id = named
        with_temporal(lambda client: holding.resume_run(client, tenant_id, run_id))
        _tell_run(run_id, paused=False, as_json=as_json)
        return
    if named is None:
        ask = _question("Resume", tenant_id or "", running=running, yes=yes)
        held = with_temporal(
            lambda client: holding.resume_all(
                client, tenant_id or "", who=who(), running=running, confirm=ask
            )
        )
        _tell_all(tenant_id or "", held, paused=False, running=running, as_json=as_json)
        return
    key = named

    async def work(client: Client) -> tuple[bool, list[str]]:
        recreated = await control.resume(client, *key, who=who())
        return recreated, await holding.resume_runs(client, *key) if running else []

    recreated, runs = with_temporal(work)
    if as_json:
        ids = {"tenant_id": key[0], "task_id": key[1]}
        print_json({**ids, "paused": False, "recreated": recreated, "runs": runs})
        return
    more = f", and {_count(runs, 'open run')}" if running else ""
    dropped = " Temporal had dropped its schedule: it was made again." if recreated else ""
    say(f"Resumed {key[0]}/{key[1]}{more}.{dropped}")


def _named(what: str | None, tenant: str | None, *, all_: bool) -> tuple[str | None, Named]:
    """(tenant, what it is about). Errors: `InvalidInput`."""
    from domain.ids import parse_run_id
    from starter.cli.names import bad, task_key, tenant_name

    if what is None:
        tenant_id = tenant_name(tenant)
        if not all_:
            raise bad("task", "name a task or a run, or give --all for every task of the tenant")
        if tenant_id is None:
            raise bad("tenant", "whose tasks? Give --tenant or TASKFLOW_TENANT")
        return tenant_id, None
    if all_:
        raise bad("task", "it is either a task or --all")
    if parse_run_id(what) or (what.startswith("run/") and what.count("/") > 1):
        return tenant_name(tenant), what
    key = task_key(what, tenant)
    return key[0], key


def _question(
    verb: str, tenant_id: str, *, running: bool, yes: bool
) -> Callable[[list[str]], bool] | None:
    if yes:
        return None
    more = " and open runs" if running else ""

    def ask(tasks: list[str]) -> bool:
        return confirm(f"{verb} {_count(tasks, 'task')}{more} of {tenant_id}?")

    return ask


def _tell_run(run_id: str, *, paused: bool, as_json: bool) -> None:
    if as_json:
        from domain.ids import parse_run_id

        parsed = parse_run_id(run_id)
        print_json(
            {
                "run_id": run_id,
                "tenant_id": parsed and parsed.tenant_id,
                "task_id": parsed and parsed.task_id,
                "paused": paused,
                "runs": [run_id],
            }
        )
    elif paused:
        say(f"Asked {run_id} to hold at its next safe point. `taskflow resume {run_id}` ends it.")
    else:
        say(f"Asked {run_id} to go on.")


def _tell_all(tenant_id: str, held: "Held", *, paused: bool, running: bool, as_json: bool) -> None:
    if as_json:
        document = {"tenant_id": tenant_id, "task_id": None, "paused": paused}
        recreated = {} if paused else {"recreated": held.recreated}
        print_json({**document, **recreated, "tasks": held.tasks, "runs": held.runs})
        return
    more = f" and {_count(held.runs, 'open run')}" if running else ""
    what = f"{_count(held.tasks, 'task')}{more} of {tenant_id}"
    if paused:
        option = " --running" if running else ""
        say(f"Paused {what}. `taskflow resume --all{option} --tenant {tenant_id}` ends it.")
    else:
        say(f"Resumed {what}.")


def _count(things: list[str], name: str) -> str:
    return f"1 {name}" if len(things) == 1 else f"{len(things):,} {name}s"
