"""`sla-report --rebuild`: roll-ups counted anew from what Temporal still has."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from temporalio.client import Client
from temporalio.service import RPCError

from activities.registered import Registered
from activities.rollup import DayCounter
from activities.rollup_count import retention_of
from domain.rollup import DAY, Mark, day_of, days_between
from shared.errors import NoWorker
from shared.rollup import RollupStore
from starter.present import NO_WORKER, PATIENCE_SECONDS, is_unanswered, refresh
from starter.rpc import temporal_errors


@dataclass(slots=True)
class Rebuilt:
    """Days by what became of them, in order.

    `counted`: anew. `waiting`: counted when their runs have ended. `kept`: Temporal has not all of
    it any more, so that what was rolled up stays. `in_part`: what Temporal still had, as there was
    nothing. `gone`: neither rolled up nor in Temporal.
    """

    counted: list[date] = field(default_factory=list)
    waiting: list[date] = field(default_factory=list)
    kept: list[date] = field(default_factory=list)
    in_part: list[date] = field(default_factory=list)
    gone: list[date] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As `sla-report --rebuild --json` has it."""
        return {
            "counted": [str(day) for day in self.counted],
            "waiting": [str(day) for day in self.waiting],
            "kept": [str(day) for day in self.kept],
            "in_part": [str(day) for day in self.in_part],
            "gone": [str(day) for day in self.gone],
        }


async def rebuild(
    client: Client,
    tenant_id: str | None,
    since: datetime,
    until: datetime,
    now: datetime,
    *,
    task_queue: str,
    advance: Callable[[date, int], None] = lambda _day, _days: None,
) -> Rebuilt:
    """Count the days (of a tenant) that are over and have a part in that time.

    `advance` hears of each day before it is looked at, and how many there are.
    Errors: `NoWorker`, `NotKept`, `TemporalUnreachable`; doing it again is safe.
    """
    store = RollupStore(client, task_queue, timedelta(seconds=PATIENCE_SECONDS))
    registered = Registered(client, task_queue, tenant_id)
    with temporal_errors():
        try:
            await refresh(registered)
            counter = DayCounter(
                client,
                store,
                {key: known.spans for key, known in registered.tasks.items()},
                now,
                await retention_of(client),
            )
            return await _Rebuilding(store, counter, tenant_id).run(since, until, advance)
        except RPCError as error:
            if not is_unanswered(error):
                raise
            raise NoWorker(NO_WORKER) from error


class _Rebuilding:
    """Goes through the days, the oldest first: those go first."""

    def __init__(self, store: RollupStore, counter: DayCounter, tenant_id: str | None) -> None:
        self._store = store
        self._counter = counter
        self._tenant_id = tenant_id

    async def run(
        self, since: datetime, until: datetime, advance: Callable[[date, int], None]
    ) -> Rebuilt:
        """What became of each day. Errors: `RPCError`, `NotKept`."""
        countable = self._counter.days()
        last = min(day_of(until), countable[-1] if countable else day_of(since) - DAY)
        days = days_between(day_of(since), last)
        marks = await self._store.marks(days)
        names: Collection[str] = [self._tenant_id] if self._tenant_id else []
        lying = {day for _, day in await self._store.days(names, days)}
        lying |= marks.keys() if self._tenant_id is None else set()
        found = Rebuilt()
        for day in days:
            advance(day, len(days))
            await self._day(day, marks.get(day), day in lying, found)
        return found

    async def _day(self, day: date, mark: Mark | None, lies: bool, found: Rebuilt) -> None:
        whole = self._counter.is_all_there(day)
        if lies and not whole:
            found.kept.append(day)
        elif day not in self._counter.days():
            found.gone.append(day)
        else:
            tenants = None if self._tenant_id is None else [self._tenant_id]
            after = await self._counter.count(day, mark, tenants)
            mine = tenants or after.waiting
            place = found.counted if whole else found.in_part
            (found.waiting if set(mine) & set(after.waiting) else place).append(day)
