"""`versions`: which version of the workers gets new work, and what the others still have to do."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import options
from starter.cli.output import confirm, console, print_json, say

if TYPE_CHECKING:
    from temporalio.client import Client

    from shared.versions import Deployment
    from starter.replaying import Replayed
    from starter.version_moves import Moved

Build = Annotated[
    str,
    typer.Argument(metavar="BUILD_ID", help="As `taskflow versions` names it", show_default=False),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--deployment",
        envvar=["TASKFLOW_DEPLOYMENT", "TEMPORAL_DEPLOYMENT_NAME"],
        metavar="NAME",
        help="The deployment; that of the task queue's workers if left out",
    ),
]
group = typer.Typer(
    name="versions",
    help="Show versions of workers, give work to another one, check before.",
    epilog="Example: taskflow versions",
    rich_markup_mode=None,
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""

    def example(text: str) -> str:
        return f"Example: taskflow versions {text}"

    group.callback(invoke_without_command=True)(versions)
    group.command(epilog=example("use 0.2.0-3f2a9c1d04e5 --ramp 10"))(use)
    group.command(epilog=example("check"))(check)
    group.command(epilog=example("move 0.1.0-77aa01bc93de"))(move)
    app.add_typer(group)


def versions(
    context: typer.Context, deployment: Name = None, as_json: options.Json = False
) -> None:
    """Show versions of workers, give work to another one, check before.

    Without a command: which version gets new runs, how many runs are open on each, and whether its
    workers can be stopped.
    """
    if context.invoked_subcommand is not None:
        return
    from shared.settings import get_settings
    from starter.cli.session import with_temporal
    from starter.versions import deployment_of

    queue = get_settings().task_queue
    found = with_temporal(lambda client: deployment_of(client, deployment, queue))
    if as_json:
        print_json(found.as_json())
        return
    _show(found, datetime.now(UTC))


def use(
    build_id: Annotated[
        str,
        typer.Argument(
            metavar="BUILD_ID",
            help="As `taskflow versions` names it; `unversioned` for workers of no deployment",
            show_default=False,
        ),
    ],
    *,
    ramp: Annotated[
        float | None,
        typer.Option(min=0, max=100, metavar="PERCENT", help="Only this share of new runs"),
    ] = None,
    deployment: Name = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> int:
    """Give new runs to a version; open ones stay with theirs.

    What lives long (governors, registries, work orders) goes on with it from its next step. The
    same command brings the former version back. On a terminal it asks first.
    """
    from shared.settings import get_settings
    from starter.cli.session import with_temporal
    from starter.versions import deployment_of, name_of, use_version

    share = f"{ramp:g} % of new runs" if ramp is not None else "All new runs"
    if not yes and not confirm(f"{share} to {build_id}?"):
        say("Nothing was changed.")
        return 1
    queue = get_settings().task_queue

    async def work(client: "Client") -> "Deployment":
        name = await name_of(client, deployment, queue)
        await use_version(client, name, build_id, ramp=ramp)
        return await deployment_of(client, name, queue)

    found = with_temporal(work)
    if as_json:
        print_json(found.as_json())
    else:
        say(f"{share} go to {build_id}.")
        _show(found, datetime.now(UTC))
    return 0


def check(
    *,
    runs: Annotated[
        bool, typer.Option("--runs", help="Also open runs; always where workers are not versioned")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="At most so many of each kind")
    ] = 200,
    as_json: options.Json = False,
) -> int:
    """Can the code of this installation go on with what is open in Temporal?

    Replays the histories of what lives long, and changes nothing. Run it from the new release
    before `versions use`, and from the former one before going back to it. 1 if it cannot.
    """
    from shared.settings import get_settings
    from starter.cli.session import with_temporal
    from starter.replaying import replay_open

    settings = get_settings()
    found = with_temporal(
        lambda client: replay_open(
            client, settings, runs=runs or settings.deployment is None, limit=limit
        )
    )
    if as_json:
        print_json(found.as_json())
    else:
        _show_replayed(found)
    return 0 if found.ok else 1


def move(
    build_id: Build,
    *,
    to: Annotated[
        str | None, typer.Option(metavar="BUILD_ID", help="The current version if left out")
    ] = None,
    deployment: Name = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> int:
    """Have the open runs of a version go on with another one.

    For runs whose version has no workers any more, or that would keep it for days. Each is replayed
    first with the code of this installation, which has to be that of the other version: a run that
    it cannot go on with stays where it is. 1 if one stays.
    """
    from shared.settings import get_settings
    from starter.cli.session import with_temporal
    from starter.version_moves import move_runs

    if not yes and not confirm(f"Move the open runs of {build_id}?"):
        say("Nothing was changed.")
        return 1
    settings = get_settings()
    found = with_temporal(
        lambda client: move_runs(client, settings, build_id, to=to, deployment=deployment)
    )
    if as_json:
        print_json(found.as_json())
    else:
        _show_moved(found)
    return 1 if found.stay else 0


def _show(found: "Deployment", now: datetime) -> None:
    from starter.cli.output import plain, print_item, print_trimmed, table
    from starter.cli.times import relative

    screen = console()
    if found.name is None:
        say("Workers are not versioned: TASKFLOW_DEPLOYMENT names no deployment.")
    rows = table("build id", "status", "workers", "open runs", "oldest", "others", "safe to stop")
    for row in found.versions:
        ramp = f" {row.ramp:g} %" if row.ramp is not None else ""
        rows.add_row(
            plain(row.build_id),
            f"{row.status}{ramp}",
            str(row.workers),
            str(row.runs),
            relative(row.oldest, now) if row.oldest else "-",
            str(row.others),
            "yes" if row.safe_to_stop else "no",
        )
    print_trimmed(screen, rows)
    for row in found.versions:
        if row.stranded:
            print_item(screen, row.trouble, indent=2)


def _show_replayed(found: "Replayed") -> None:
    from starter.cli.output import print_item, print_trimmed, table

    screen = console()
    rows = table("workflow", "open", "replayed", "cannot go on")
    for kind in found.kinds:
        rows.add_row(kind.workflow, str(kind.open), str(kind.replayed), str(len(kind.broken)))
    print_trimmed(screen, rows)
    for kind in found.kinds:
        for broken in kind.broken:
            print_item(screen, f"{broken.workflow_id}: {broken.why}", indent=2)
    verdict = "can go on with all of these" if found.ok else "must not be given this work"
    say(f"Build {found.build_id} {verdict}.")


def _show_moved(found: "Moved") -> None:
    from starter.cli.output import print_item

    say(f"{len(found.moved)} runs go on with {found.to}, {len(found.stay)} stay.")
    for broken in found.stay:
        print_item(console(), f"{broken.workflow_id}: {broken.why}", indent=2)
