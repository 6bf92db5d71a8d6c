"""The first page: is it healthy, why not, what to do; what was, and what comes."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from temporalio.client import Client

from domain.forecast import ConflictAhead
from domain.work_orders import is_closed
from shared.errors import NoWorker
from starter.ahead import Ahead, look_ahead
from starter.all_tenants import list_tenants
from starter.api.console import PREFIX
from starter.api.console.acts import act
from starter.api.console.render import page
from starter.api.console.timeline import draw
from starter.api.console.visit import Reading, Visit
from starter.api.keyed import at_length
from starter.behind import Behind, look_back
from starter.callers import Scope
from starter.health import Health, Level, Sign, examine_tenant
from starter.runs import RunView

router = APIRouter(prefix=PREFIX)

HOURS = (1, 3, 6, 12, 24)
MOST_LISTED, MOST_ORDERS, MOST_OF_TASK = 12, 6, 2

Hours = Annotated[int, Query(ge=1, le=HOURS[-1])]


@router.get("")
@router.get("/")
async def overview(request: Request, visit: Reading, hours: Hours = 6) -> Response:
    """One tenant's hours. An admin who names none chooses one first."""
    if visit.tenant is None:
        return RedirectResponse(f"{PREFIX}/tenants", 303)
    now, span = datetime.now(UTC), timedelta(hours=hours)

    async def work(client: Client) -> tuple[Behind, Ahead | NoWorker, Health, str | None]:
        behind, ahead, rules = await asyncio.gather(
            look_back(client, visit.tenant_id, span, now),
            _ahead(client, visit, span, now),
            visit.context.rules.problem(),
        )
        health = await examine_tenant(
            client,
            visit.context.settings,
            visit.tenant_id,
            behind=behind,
            ahead=ahead,
            whole=visit.caller.is_admin,
            now=now,
        )
        return behind, ahead, health, rules

    behind, found, health, rules = await at_length(visit.access, work)
    if rules:
        fix = "events are refused until then: taskflow doctor says what is missing"
        health.signs.insert(0, Sign("event rules", Level.BAD, rules, fix))
    ahead = found.after(now) if isinstance(found, Ahead) else None
    names = {
        "hours": hours,
        "choices": HOURS,
        "health": health,
        "behind": behind,
        "ahead": ahead,
        "timeline": draw(behind, ahead, now, span),
        "listed": _worth_a_look(behind),
        "zone_of": ahead.zone if ahead else lambda _: "UTC",
        "coming": _coming(ahead),
        "orders": [row for row in health.orders if not is_closed(row.status)],
        "most_orders": MOST_ORDERS,
    }
    return page(request, "overview.html", names, visit=visit)


@router.get("/tenants")
async def tenants(request: Request, visit: Reading) -> Response:
    """For admins: all tenants, those first where somebody has to do something."""
    visit.caller.require(Scope.ADMIN)
    async with visit.context.temporal.client() as client:
        rows = await list_tenants(client, datetime.now(UTC))
    return page(request, "tenants.html", {"rows": rows}, visit=visit)


@router.get("/find")
async def find(visit: Reading, task_id: str = "") -> Response:
    """The page of a task that somebody named."""
    named = task_id.strip()
    return act(visit, None, "tasks", *([named] if named else []))


async def _ahead(client: Client, visit: Visit, span: timedelta, now: datetime) -> Ahead | NoWorker:
    """As it was worked out a moment ago, if it was; that no worker answers is an answer too."""
    queue = visit.context.settings.task_queue

    async def look() -> Ahead | NoWorker:
        try:
            return await look_ahead(client, visit.tenant_id, span, now, task_queue=queue)
        except NoWorker as error:
            return error

    return await visit.context.ahead.get((visit.tenant_id, span), look)


def _worth_a_look(behind: Behind) -> list[RunView]:
    """The open ones, then the newest of each task that ended badly or broke their SLA."""
    bad = {run.run_id for run in [*behind.failures, *behind.breaches]}
    seen: Counter[str] = Counter()
    found = list(behind.open)
    for run in behind.runs:
        if run.ended and run.run_id in bad:
            seen[run.task_id] += 1
            if seen[run.task_id] <= MOST_OF_TASK:
                found.append(run)
    return found[:MOST_LISTED]


@dataclass(frozen=True, slots=True)
class Coming:
    """A task that fires next: when, how often in this time, and the first conflict of how many."""

    task_id: str
    at: datetime
    fires: int
    conflict: ConflictAhead | None
    conflicts: int


def _coming(ahead: Ahead | None) -> list[Coming]:
    """Those with a conflict before others, then by their next fires."""
    if ahead is None:
        return []
    first: dict[str, datetime] = {}
    for fire in ahead.fires:
        first.setdefault(fire.task_id, fire.at)
    met: dict[str, ConflictAhead] = {}
    for conflict in ahead.conflicts:
        met.setdefault(conflict.tasks[0], conflict)
    fires = Counter(fire.task_id for fire in ahead.fires)
    conflicts = Counter(conflict.tasks[0] for conflict in ahead.conflicts)
    found = [
        Coming(task_id, at, fires[task_id], met.get(task_id), conflicts[task_id])
        for task_id, at in first.items()
    ]
    return sorted(found, key=lambda one: (one.conflict is None, one.at, one.task_id))[:MOST_LISTED]
