"""`roll_up_days`: count the days that are over, and lay down what was counted."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import structlog
from temporalio import activity
from temporalio.client import Client

from activities.heartbeats import heartbeats
from activities.registered import Registered
from activities.rollup_count import Counting, retention_of, runs_query
from domain.agenda import Key, Spans
from domain.attributes import ROLL_UP_DAYS
from domain.levels import Level
from domain.rollup import (
    DAY,
    LookInput,
    LookResult,
    Mark,
    day_of,
    days_between,
    pieces_of,
    start_of,
)
from shared.calls import at_once
from shared.rollup import RollupStore

log = structlog.get_logger(__name__)

SETTLING = timedelta(minutes=10)
"""After the end of a day: what was due in its last moments has a run or a record by then."""
FORCED_BEFORE = timedelta(hours=6)
"""So long before Temporal forgets a day's first runs, those that have not ended are not awaited."""
CHECKED_EVERY = timedelta(hours=23)
"""A day that was counted is compared so often with what Temporal lists of it."""
FEW = 10
"""Tenants that are counted one by one: of more, all runs of the day are listed."""
INSTANT = timedelta(microseconds=1)
"""Counts are of what comes after an instant: a day begins just before its first one."""


@dataclass(slots=True)
class Look:
    """What a look did: the days that were counted, those that wait, and when each was checked."""

    counted: list[date] = field(default_factory=list)
    waiting: list[date] = field(default_factory=list)
    checked: dict[date, datetime] = field(default_factory=dict)


class DayCounter:
    """Counts days as of `now`, and lays them down. Errors of its methods: `RPCError`, `NotKept`."""

    def __init__(
        self,
        client: Client,
        store: RollupStore,
        spans: Mapping[Key, Spans],
        now: datetime,
        retention: timedelta,
    ) -> None:
        """`spans`: when which task was to fire; `retention`: how long Temporal keeps a run."""
        self._client = client
        self._store = store
        self._spans = spans
        self._now = now
        self._horizon = now - retention

    def days(self) -> list[date]:
        """Those that are over and of which Temporal still has something, the oldest first."""
        return days_between(day_of(self._horizon), day_of(self._now - SETTLING) - DAY)

    def is_all_there(self, day: date) -> bool:
        """Whether Temporal can have forgotten nothing of it."""
        return start_of(day) >= self._horizon

    def is_about_to_go(self, day: date) -> bool:
        """Whether Temporal soon forgets the first runs of it, or has already."""
        return start_of(day) - self._horizon < FORCED_BEFORE

    async def listed(self, day: date, tenant_id: str | None = None, *, more: str = "") -> int:
        """How many runs Temporal lists for a day."""
        query = runs_query(tenant_id, start_of(day) - INSTANT, start_of(day + DAY) - INSTANT)
        return (await self._client.count_workflows(query + more)).count

    async def waits(self, day: date, tenants: Collection[str]) -> bool:
        """Whether a run of one of them has not ended; of many tenants: of anybody."""
        running = " AND ExecutionStatus = 'Running'"
        if len(tenants) > FEW:
            return await self.listed(day, more=running) > 0
        return any([await self.listed(day, name, more=running) > 0 for name in tenants])

    async def count(self, day: date, mark: Mark | None, tenants: Collection[str] | None) -> Mark:
        """Count a day of these tenants, None: of all; and lay down what is not to change any more.

        `mark`: what is known of the day so far. A tenant's day is left to the next look while runs
        of it have not ended, unless Temporal is about to forget the others. What Temporal has in
        part takes the place of nothing.
        """
        listed = await self.listed(day)
        levels, unfinished, lost = await self._levels(day, tenants)
        if not self.is_all_there(day):
            lying = await self._store.days(levels, [day])
            levels = {name: own for name, own in levels.items() if (name, day) not in lying}
        going = self.is_about_to_go(day)
        keeping = {name for name in levels if going or not unfinished[name]}

        async def keep(tenant_id: str) -> None:
            pieces = pieces_of(
                day,
                levels[tenant_id],
                counted_at=self._now,
                since=None if self.is_all_there(day) else self._horizon,
                unfinished=unfinished[tenant_id],
                lost=lost[tenant_id],
            )
            await self._store.keep(tenant_id, pieces)

        await at_once(sorted(keeping), keep)
        before = mark or Mark()
        untouched = set(before.waiting) - set(before.waiting if tenants is None else tenants)
        after = Mark(
            tenants=sorted({*before.tenants, *keeping}),
            waiting=sorted({*untouched, *levels} - keeping),
            listed=listed,
        )
        if after != mark and (mark or tenants is None):  # else others have not been looked at
            await self._store.mark(day, after, counted_at=self._now)
        return after

    async def _levels(
        self, day: date, tenants: Collection[str] | None
    ) -> tuple[dict[str, dict[str, Level]], Counter[str], Counter[str]]:
        """By tenant and task; and by tenant how many runs have not ended, and fires were lost."""
        after = max(start_of(day), self._horizon) - INSTANT
        found: defaultdict[str, dict[str, Level]] = defaultdict(dict)
        unfinished, lost = Counter[str](), Counter[str]()
        few = tenants is not None and len(tenants) <= FEW
        for only in tenants if tenants is not None and few else [None]:
            counting = Counting(
                self._client,
                {key: own for key, own in self._spans.items() if only in (None, key[0])},
                self._now,
                tenant_id=only,
                wanted=lambda tenant_id, _at: tenants is None or tenant_id in tenants,
            )
            await counting.count(after, start_of(day + DAY) - INSTANT)
            for (tenant_id, task_id), level in counting.levels.items():
                found[tenant_id][task_id] = level
            unfinished.update(counting.open_runs)
            lost.update(counting.lost)
        return dict(found), unfinished, lost


class RollupActivities:
    """One instance for a worker: it remembers the registries between looks."""

    def __init__(self, client: Client, *, task_queue: str, months: int) -> None:
        """`months`: how many whole ones are kept beside the present one."""
        self._client = client
        self._store = RollupStore(client, task_queue)
        self._registered = Registered(client, task_queue)
        self._months = months
        self._one_at_a_time = asyncio.Lock()

    @activity.defn(name=ROLL_UP_DAYS)
    async def roll_up_days(self, request: LookInput) -> LookResult:
        """One look. Doing it again is safe; errors: `RPCError`, and Temporal tries it again."""
        async with self._one_at_a_time, heartbeats():
            return await self.look(request)

    async def look(self, request: LookInput) -> LookResult:
        """The same outside an activity, as tests and benchmarks call it."""
        began = time.perf_counter()
        await self._registered.refresh()
        counter = DayCounter(
            self._client,
            self._store,
            {key: known.spans for key, known in self._registered.tasks.items()},
            request.now,
            await retention_of(self._client),
        )
        days = counter.days()
        look = await self._look(counter, days, request)
        ended = await self._store.end_before(_month_before(day_of(request.now), self._months))
        before = [day for day in days if day < min(look.waiting, default=date.max)]
        result = LookResult(
            looked_at=request.now,
            counted=look.counted,
            waiting=look.waiting,
            through=before[-1] if before else None,
            checked=look.checked,
        )
        log.info(
            "rolled up",
            action="rollup_look",
            duration_ms=round((time.perf_counter() - began) * 1000),
            counted=[str(day) for day in look.counted],
            waiting=[str(day) for day in look.waiting],
            months_ended=ended,
        )
        return result

    async def _look(self, counter: DayCounter, days: list[date], request: LookInput) -> Look:
        look = Look()
        marks = await self._store.marks(days)
        lying = await self._store.listed() if marks else {}
        for day in days:
            mark, checked = marks.get(day), request.checked.get(day)
            tenants: Collection[str] | None = None
            if mark:
                lost = [name for name in mark.tenants if day not in lying.get(name, ())]
                tenants = {*lost, *await _over(counter, day, mark)}
                due = checked is None or request.now - checked >= CHECKED_EVERY
                if due and counter.is_all_there(day):
                    checked = request.now
                    tenants = None if await counter.listed(day) != mark.listed else tenants
            if tenants is None or tenants:
                mark = await counter.count(day, mark, tenants)
                look.counted.append(day)
                checked = request.now
            if mark and mark.waiting:
                look.waiting.append(day)
            if checked:
                look.checked[day] = checked
        return look


async def _over(counter: DayCounter, day: date, mark: Mark) -> list[str]:
    """The tenants that waited, once nothing of theirs is open or nothing can be waited for."""
    if not mark.waiting:
        return []
    if counter.is_about_to_go(day) or not await counter.waits(day, mark.waiting):
        return mark.waiting
    return []


def _month_before(day: date, months: int) -> date:
    """The first of the month so many before that of `day`."""
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)
