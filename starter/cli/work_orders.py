"""`work-orders`: what people have to look after, and what they do about it."""

# ruff: noqa: PLC0415 - loaded by the command that needs it: see starter.cli.main

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starter.cli import options
from starter.cli.output import console, print_json, say

if TYPE_CHECKING:
    from temporalio.client import Client

    from domain.work_orders import WorkOrderRow, WorkOrderView

_ID = "run/acme/daily-report-2026-11-23T02:00:00Z"
Order = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Id of a work order, or of the run it is about", show_default=False
    ),
]
By = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who does it; you if left out")
]
MOST_NAME = 100

group = typer.Typer(
    name="work-orders",
    help="Look after what failed or broke its SLA.",
    epilog="Example: taskflow work-orders list --status OPEN",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""

    def example(text: str) -> str:
        return f"Example: taskflow work-orders {text}"

    group.command("list", epilog=example("list --status OPEN"))(list_)
    group.command(epilog=example(f"show {_ID}"))(show)
    group.command(epilog=example(f"ack {_ID}"))(ack)
    group.command(epilog=example(f"retry {_ID}"))(retry)
    group.command(epilog=example(f"waive {_ID} --reason 'the shop is closed'"))(waive)
    group.command(epilog=example(f"resolve {_ID} --note 'sent by hand'"))(resolve)
    app.add_typer(group)


def list_(
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="task-id or tenant/task-id; else all")
    ] = None,
    tenant: options.Tenant = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only those in this state, such as OPEN")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many")] = 50,
    as_json: options.Json = False,
) -> None:
    """List work orders, those to do first, by when they are due."""
    from domain.work_orders import OrderState
    from starter.cli import names
    from starter.cli.session import with_temporal
    from starter.work_orders import Wanted, list_work_orders, row_as_json

    tenant_id, task_id = (
        names.loose_key(task, tenant) if task else (names.tenant_name(tenant), None)
    )
    state: OrderState | None = None
    if status is not None:
        if status.upper() not in set(OrderState):
            raise names.bad("status", f"{status!r} is none of {', '.join(OrderState)}")
        state = OrderState(status.upper())
    wanted = Wanted(tenant_id, task_id, state, limit)
    rows = with_temporal(lambda client: list_work_orders(client, wanted))
    if as_json:
        print_json({"work_orders": [row_as_json(row) for row in rows]})
    else:
        _show_rows(rows, wanted.limit, filtered=bool(task or status))


def show(order: Order, tenant: options.Tenant = None, as_json: options.Json = False) -> None:
    """Show one with its evidence and what happened to it."""
    from starter.work_orders import show_work_order

    view = _with(tenant, lambda client, tenant_id: show_work_order(client, tenant_id, order))
    if as_json:
        _print(view)
    else:
        _show(view)


def ack(
    order: Order, by: By = None, tenant: options.Tenant = None, as_json: options.Json = False
) -> None:
    """Take one up: it is yours, and escalates no more."""
    from starter import work_orders

    who = _who(by)
    view = _with(
        tenant, lambda client, tenant_id: work_orders.acknowledge(client, tenant_id, order, by=who)
    )
    _tell(view, f"{view.work_order_id} is {view.owner}'s now.", as_json=as_json)


def retry(
    order: Order, by: By = None, tenant: options.Tenant = None, as_json: options.Json = False
) -> None:
    """Run its task once more, with what the run was triggered with.

    It is resolved when that run succeeds, and open again when not.
    """
    from starter import work_orders

    who = _who(by)
    view = _with(
        tenant, lambda client, tenant_id: work_orders.retry(client, tenant_id, order, by=who)
    )
    _tell(view, f"Runs again as {view.retry_run_id}", as_json=as_json)


def waive(
    order: Order,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it can be left as it is")],
    by: By = None,
    tenant: options.Tenant = None,
    as_json: options.Json = False,
) -> None:
    """Close one and leave things as they are."""
    from starter import work_orders

    who, why = _who(by), _text("reason", reason)
    view = _with(
        tenant,
        lambda client, tenant_id: work_orders.waive(client, tenant_id, order, by=who, reason=why),
    )
    _tell(view, f"{view.work_order_id} is waived.", as_json=as_json)


def resolve(
    order: Order,
    note: Annotated[str, typer.Option(metavar="TEXT", help="What was done")] = "",
    by: By = None,
    tenant: options.Tenant = None,
    as_json: options.Json = False,
) -> None:
    """Close one that was put right by other means."""
    from starter import work_orders

    who = _who(by)
    view = _with(
        tenant,
        lambda client, tenant_id: work_orders.resolve(client, tenant_id, order, by=who, note=note),
    )
    _tell(view, f"{view.work_order_id} is resolved.", as_json=as_json)


def _with(
    tenant: str | None, work: "Callable[[Client, str | None], Awaitable[WorkOrderView]]"
) -> "WorkOrderView":
    from starter.cli.names import tenant_name
    from starter.cli.session import with_temporal

    tenant_id = tenant_name(tenant)
    return with_temporal(lambda client: work(client, tenant_id))


def _who(by: str | None) -> str:
    from starter.cli.names import bad, who

    if by is None:
        return who()
    if len(by) > MOST_NAME:
        raise bad("by", f"must be at most {MOST_NAME} characters")
    return _text("by", by)


def _text(option: str, text: str) -> str:
    """What must say something."""
    from starter.cli.names import bad

    if not text.strip():
        raise bad(option, "must not be empty")
    return text


def _print(view: "WorkOrderView") -> None:
    from starter.work_orders import view_as_json

    print_json(view_as_json(view))


def _tell(view: "WorkOrderView", line: str, *, as_json: bool) -> None:
    if as_json:
        _print(view)
    else:
        say(line)


_STYLES = {"OPEN": "red", "ACKNOWLEDGED": "yellow", "RETRYING": "cyan", "RESOLVED": "green"}


def _show_rows(rows: "list[WorkOrderRow]", limit: int, *, filtered: bool) -> None:
    from datetime import UTC, datetime

    from rich.text import Text

    from starter.cli.output import plain, print_trimmed, table
    from starter.cli.times import relative

    screen = console()
    if not rows:
        screen.print("No work orders match." if filtered else "No work orders: nothing to do.")
        return
    short = ("Status", "Severity", "Due")
    columns = table("Run", *short, "Owner", whole=short)
    now = datetime.now(UTC)
    for row in rows:
        name = Text(row.run_id)
        code = f"{row.error_code}: " if row.error_code else ""
        name.append(f"\n  {plain(code + row.cause)}", style="dim")
        due = "" if row.status in ("RESOLVED", "WAIVED") else relative(row.due_at, now)
        columns.add_row(
            name,
            Text(row.status, style=_STYLES.get(row.status, "")),
            row.severity,
            due,
            plain(row.owner or ""),
        )
    print_trimmed(screen, columns)
    if len(rows) >= limit:
        screen.print(Text(f"The first {limit:,}: --limit shows more.", style="dim"))


def _show(view: "WorkOrderView") -> None:
    from datetime import UTC, datetime

    from rich.text import Text

    from starter.cli.output import print_item
    from starter.cli.times import full
    from starter.times import clock

    screen, now = console(), datetime.now(UTC)
    screen.print(Text(view.work_order_id, style="bold"), soft_wrap=True)
    code = f"{view.error_code}: " if view.error_code else ""
    facts: list[tuple[str, Any]] = [
        ("status", f"{view.status}, {view.severity}"),
        ("why", f"{code}{view.cause}"),
        ("run", view.run_id),
        ("task", f"{view.tenant_id}/{view.task_id} on {view.plugin_id}"),
        ("owner", view.owner or "nobody"),
        ("opened", full(view.opened_at, "UTC", now)),
        ("due", full(view.due_at, "UTC", now)),
        ("closed", view.closed_at and full(view.closed_at, "UTC", now)),
        ("outside", view.external_id),
        ("retried", view.retry_run_id),
        ("trace", view.trace_id),
    ]
    for name, fact in facts:
        if fact:
            print_item(screen, f"{name + ':':<8} {fact}", indent=2)
    for title, lines in (
        ("Attempts", [f"{a.attempt}. {a.error_code}: {a.message}" for a in view.attempts]),
        ("Breaches", [f"{b.kind} of {b.run_id}" for b in view.breaches]),
        ("What happened", [f"{clock(n.at)} {n.who}: {n.what}" for n in view.notes]),
    ):
        if lines:
            screen.print(title, style="bold")
        for line in lines:
            print_item(screen, line, indent=2)
