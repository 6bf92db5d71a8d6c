"""`quota`: what a tenant's runs may hold at once, what they hold, and changing it live."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from typing import TYPE_CHECKING, Annotated

import typer

from starter.cli import options
from starter.cli.output import console, print_json, say

if TYPE_CHECKING:
    from temporalio.client import Client

    from starter.quota import QuotaView

Tenant = Annotated[
    str | None,
    typer.Argument(metavar="TENANT", help="All tenants if left out", show_default=False),
]
MOST = 1_000_000


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: taskflow quota acme --max-concurrent 20 --group warehouse=1")(
        quota
    )


def quota(
    name: Tenant = None,
    *,
    max_concurrent: Annotated[
        str | None,
        typer.Option(metavar="N|none", help="Runs at once; none: no limit", show_default=False),
    ] = None,
    resource: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N|none", help="Units of a resource; repeatable", show_default=False
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N|none",
            help="Holders of a mutex group; none: undeclared, and held by one run at a time",
            show_default=False,
        ),
    ] = None,
    tenant: options.Tenant = None,
    as_json: options.Json = False,
) -> None:
    """Show what tenants may hold and hold, or change it.

    A change counts at once: runs under way go on, and the next to ask meet it.
    """
    from domain.limits import CONCURRENT
    from shared.settings import get_settings
    from starter.cli.names import bad, tenant_name
    from starter.cli.session import with_temporal
    from starter.quota import set_quota, show_quotas

    tenant_id = tenant_name(name or tenant)
    wanted = _pairs("resource", "resource", "gpu=2", resource)
    wanted |= _pairs("mutex", "group", "warehouse=1", group)
    if max_concurrent is not None:
        wanted[CONCURRENT] = _count("max-concurrent", max_concurrent)
    if wanted and tenant_id is None:
        raise bad("tenant", "whose quota? Write `taskflow quota TENANT ...`")

    async def work(client: "Client") -> "list[QuotaView]":
        if not wanted or tenant_id is None:
            return await show_quotas(client, tenant_id)
        queue = get_settings().task_queue
        return [await set_quota(client, tenant_id, wanted, task_queue=queue)]

    views = with_temporal(work)
    if as_json:
        print_json({"tenants": [view.as_json() for view in views]})
        return
    if not views:
        say("No tenant has a quota. Declare one in a task file, or with `taskflow quota TENANT`.")
    for view in views:
        _show(view, changing=bool(wanted))


def _count(option: str, text: str) -> int | None:
    """A limit of the command line; None for `none`."""
    from domain.problems import shown
    from starter.cli.names import bad

    if text == "none":
        return None
    whole = text.isascii() and text.isdigit() and len(text) <= len(str(MOST))
    if not (whole and 1 <= int(text) <= MOST):
        message = f"{shown(text)} is neither a whole number from 1 to {MOST:,} nor `none`"
        raise bad(option, message)
    return int(text)


def _pairs(kind: str, option: str, example: str, texts: list[str] | None) -> dict[str, int | None]:
    """`NAME=N` of an option that may be repeated, by dimension."""
    import re

    from domain.ids import NAME
    from domain.problems import shown
    from starter.cli.names import bad

    found: dict[str, int | None] = {}
    for text in texts or ():
        name, equals, count = text.partition("=")
        if not equals or not re.fullmatch(NAME, name):
            raise bad(option, f"{shown(text)} is not NAME=N, such as {example}")
        if f"{kind}:{name}" in found:
            raise bad(option, f"{name!r} stands twice")
        found[f"{kind}:{name}"] = _count(option, count)
    return found


def _show(view: "QuotaView", *, changing: bool) -> None:
    from starter.cli.output import plain, print_trimmed, table

    screen = console()
    screen.print(f"{view.tenant_id} (weight {view.limits.fairness_weight:g})", style="bold")
    for change in view.changes:
        screen.print(f"  {plain(change)}", style="yellow")
    if changing and not view.changes:
        screen.print("  nothing to change", style="dim")
    rows = table("limit of", "at most", "in use", "waiting")
    for row in view.rows:
        limit = "no limit" if row.limit is None else str(row.limit)
        known = ["?" if count is None else str(count) for count in (row.used, row.waiting)]
        rows.add_row(row.name, limit, *known)
    print_trimmed(screen, rows)
    if view.books is None:
        screen.print("  what is in use is not known: no governor, or no worker answers")
    elif view.books.restoring:
        screen.print("  its governor begins, and still asks the live runs what they hold")
