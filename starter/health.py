"""Is a tenant served well, why not, and what to do: what somebody on call reads first."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from temporalio.client import Client

from domain.states import RunState
from domain.work_orders import WorkOrderRow, is_closed
from shared.errors import NoWorker
from shared.settings import Settings
from starter.ahead import Ahead
from starter.behind import Behind
from starter.breakers import BreakerRow, list_breakers
from starter.doctor import Check, examine_service
from starter.work_orders import Wanted, list_work_orders

MOST_ORDERS = 500
LEAST_RUNS, LEAST_SUCCESS = 10, 0.97
"""Of so many runs or more, fewer that succeed are too few."""
MOST_NAMED = 5


class Level(StrEnum):
    """How bad something is, the worst last."""

    WELL = "well"
    NOTICE = "notice"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing looked at. `about`: the page that has more of it, if one has."""

    name: str
    level: Level
    detail: str
    fix: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """All signs, the worst first."""

    signs: list[Sign]
    orders: list[WorkOrderRow]

    @property
    def level(self) -> Level:
        """The worst."""
        return self.signs[0].level if self.signs else Level.WELL

    @property
    def troubles(self) -> list[Sign]:
        """Those that somebody should look at."""
        return [sign for sign in self.signs if sign.level is not Level.WELL]


async def examine_tenant(
    client: Client,
    settings: Settings,
    tenant_id: str,
    *,
    behind: Behind,
    ahead: Ahead | NoWorker,
    whole: bool,
    now: datetime,
) -> Health:
    """How one tenant is served now. `whole`: details that are about other tenants are told too.

    Errors: `TemporalUnreachable`.
    """
    checks, rows, orders = await asyncio.gather(
        examine_service(client, settings, now),
        list_breakers(client),
        list_work_orders(client, Wanted(tenant_id, limit=MOST_ORDERS)),
    )
    plugins = None if whole or isinstance(ahead, NoWorker) else plugins_of(ahead)
    signs = [
        *(sign_of_check(check, whole=whole) for check in checks),
        sign_of_breakers(rows, plugins),
        *_of_runs(behind, now),
        *_of_orders(orders, now),
    ]
    if isinstance(ahead, NoWorker):
        signs.append(Sign("look ahead", Level.BAD, str(ahead)))
    else:
        signs += _of_ahead(ahead)
    order = [*Level]
    signs.sort(key=lambda sign: -order.index(sign.level))
    return Health(signs, orders)


def plugins_of(ahead: Ahead) -> set[str]:
    """The plugins that the tenant's tasks call."""
    return {
        plugin_id
        for task in ahead.tasks.values()
        for plugin_id in (
            task.plugin_id,
            *([task.compensation.plugin_id] if task.compensation else []),
        )
    }


def sign_of_check(check: Check, *, whole: bool) -> Sign:
    """What doctor says; without what is about other tenants, unless `whole`."""
    detail = check.detail if whole or check.told is None else check.told
    level = Level.WELL if check.ok else Level.BAD
    return Sign(check.name, level, detail, "" if check.ok else check.fix)


def sign_of_breakers(rows: Sequence[BreakerRow], plugins: Collection[str] | None) -> Sign:
    """Plugins whose calls wait; `plugins`: those that may be told of, None: all."""
    found = [
        row for row in rows if row.is_open and (plugins is None or row.circuit.plugin_id in plugins)
    ]
    if not found:
        return Sign("plugins", Level.WELL, "no circuit is open")
    said = [
        f"{row.circuit.plugin_id} since {row.since:%H:%M:%S} UTC"
        + (f" ({row.circuit.reason})" if row.circuit.reason else "")
        for row in found
    ]
    fix = "mend the plugin: its calls go on by themselves (taskflow breakers)"
    return Sign("plugins", Level.BAD, f"calls wait: {_some(said)}", fix)


def _of_runs(behind: Behind, now: datetime) -> list[Sign]:
    failed = len(behind.failures)
    judged = failed + sum(run.status is RunState.SUCCESS for run in behind.runs)
    signs = []
    if not failed:
        signs.append(Sign("runs", Level.WELL, f"{judged:,} ended, and all succeeded"))
    else:
        few = judged >= LEAST_RUNS and 1 - failed / judged < LEAST_SUCCESS
        detail = f"{failed:,} of {judged:,} that ended did not succeed"
        fix = "look at the runs below: each says why"
        signs.append(Sign("runs", Level.BAD if few else Level.NOTICE, detail, fix, "runs"))
    if breached := behind.breaches:
        tasks = _some(list(dict.fromkeys(run.task_id for run in breached)))
        detail = f"{len(breached):,} broke their SLA: {tasks}"
        fix = "ask why of the run: it says what it waited for"
        signs.append(Sign("SLA", Level.NOTICE, detail, fix, "runs"))
    waiting = [run for run in behind.open if run.status is RunState.QUEUED or run.held]
    if waiting:
        first = min(run.trigger_time or now for run in waiting)
        wait = "1 waits" if len(waiting) == 1 else f"{len(waiting):,} wait"
        detail = f"{wait}, the first since {first:%H:%M:%S} UTC"
        fix = "the run says what it waits for, and who holds it"
        signs.append(Sign("waiting runs", Level.NOTICE, detail, fix, "runs"))
    return signs


def _of_orders(orders: Sequence[WorkOrderRow], now: datetime) -> list[Sign]:
    unfinished = [row for row in orders if not is_closed(row.status)]
    overdue = [row for row in unfinished if row.due_at < now]
    name, about = "work orders", "work-orders"
    if overdue:
        tasks = _some(list(dict.fromkeys(row.task_id for row in overdue)))
        detail = f"{len(overdue):,} of {len(unfinished):,} not closed overdue: {tasks}"
        fix = "take the first one up: retry it, resolve it, or waive it with a reason"
        return [Sign(name, Level.BAD, detail, fix, about)]
    if unfinished:
        one = len(unfinished) == 1
        detail = "1 is not closed" if one else f"{len(unfinished):,} are not closed"
        detail += ", and it is not overdue" if one else ", and none is overdue"
        return [Sign(name, Level.NOTICE, detail, "take them up in the order of the list", about)]
    return [Sign(name, Level.WELL, "nothing to do", about=about)]


def _of_ahead(ahead: Ahead) -> list[Sign]:
    signs = []
    paused, tasks = len(ahead.paused), len(ahead.tasks)
    if paused:
        all_of_them = f"all {tasks:,} are paused: the tenant is paused, and nothing fires"
        detail = all_of_them if paused == tasks else f"{paused:,} of {tasks:,} are paused"
        fix = "the task says who paused it and why; resume it when that is over"
        signs.append(Sign("tasks", Level.NOTICE, detail, fix, "paused"))
    elif not tasks:
        fix = "taskflow apply FILE registers the tasks of a file"
        signs.append(Sign("tasks", Level.NOTICE, "none is registered", fix))
    else:
        signs.append(Sign("tasks", Level.WELL, f"{tasks:,} registered, none is paused"))
    if ahead.conflicts:
        detail = f"{len(ahead.conflicts):,} until {ahead.until:%H:%M} UTC"
        fix = "see what comes next below; taskflow forecast proposes other times"
        signs.append(Sign("conflicts ahead", Level.NOTICE, detail, fix, "next"))
    return signs


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
