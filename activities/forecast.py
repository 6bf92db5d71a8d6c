"""`forecast_tick`: score what collided by what was foreseen, then look ahead again."""

import asyncio
import time
from datetime import datetime

import structlog
from pydantic import TypeAdapter
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from activities.heartbeats import heartbeats
from activities.registered import Registered
from domain.attributes import FORECAST_TICK, GOVERNOR
from domain.durations import Durations
from domain.forecast import ConflictAhead, Forecast, forecast, place_of, window
from domain.ids import parse_governor_id, parse_run_id
from domain.ledger_state import LedgerState
from domain.packing import pack, unpack
from domain.scoring import (
    MOST_WARNINGS,
    ForecastTick,
    ForecastTicked,
    Foreseen,
    Real,
    renewed,
    score,
)
from shared.calls import at_once
from shared.durations import learn_durations
from shared.governor import view_governor
from shared.metrics import ForecastMetrics

log = structlog.get_logger(__name__)

SCATTER_S = 0.3
"""Seconds by which starts and ends of runs scatter on a busy server: one that is due so shortly
after another has ended is warned of too, because it may well meet that one.
"""

_FORESEEN = TypeAdapter(list[Foreseen])
_OPEN_GOVERNORS = f"WorkflowType = '{GOVERNOR}' AND ExecutionStatus = 'Running'"


class ForecastActivities:
    """One instance for a worker: it remembers the registries between ticks."""

    def __init__(
        self, client: Client, metrics: ForecastMetrics, *, task_queue: str, hours: float
    ) -> None:
        """`hours`: how far to look ahead."""
        self._client = client
        self._metrics = metrics
        self._registered = Registered(client, task_queue)
        self._hours = hours
        self._one_at_a_time = asyncio.Lock()

    @activity.defn(name=FORECAST_TICK)
    async def forecast_tick(self, request: ForecastTick) -> ForecastTicked:
        """One look. Doing it again is safe; errors: `RPCError`, and Temporal tries it again."""
        async with self._one_at_a_time, heartbeats():
            return await self.tick(request)

    async def tick(self, request: ForecastTick) -> ForecastTicked:
        """The same outside an activity, as benchmarks call it."""
        began = time.perf_counter()
        books = await self._books()
        before = _FORESEEN.validate_json(unpack(request.foreseen)) if request.foreseen else []
        now = request.now.timestamp()
        since = request.since.timestamp() if request.since else now
        scored = score(_real(books, since, now), before, now)
        ahead = await self._look(request.now, books)
        warned = {one.identity for one in before}
        foreseen = [_foreseen(conflict) for conflict in ahead.conflicts]
        news = [
            conflict.sentence()
            for conflict, one in zip(ahead.conflicts, foreseen, strict=True)
            if one.identity not in warned
        ]
        kept = renewed(scored.left, foreseen, now)
        self._metrics.count(scored.score, ahead.total)
        self._metrics.looked(request.now)
        for sentence in news[:MOST_WARNINGS]:
            log.warning(sentence, action="conflict_foreseen")
        for sentence in scored.missed:
            log.warning(sentence, action="conflict_missed")
        log.info(
            "forecast",
            action="forecast_tick",
            duration_ms=round((time.perf_counter() - began) * 1000),
            tasks=ahead.tasks,
            fires=ahead.fires,
            conflicts=ahead.total,
            new=len(news),
            **scored.score.model_dump(),
        )
        return ForecastTicked(
            foreseen=pack(_FORESEEN.dump_json(kept).decode()),
            score=scored.score,
            tasks=ahead.tasks,
            fires=ahead.fires,
            conflicts=ahead.total,
            until=ahead.end,
            warnings=news[:MOST_WARNINGS],
            missed=scored.missed,
        )

    async def _look(self, now: datetime, books: dict[str, LedgerState]) -> Forecast:
        await self._registered.refresh()
        durations = await learn_durations(self._client)
        start, end = window(now, self._hours)
        # In a thread: thousands of tasks take seconds, and plugin calls need their heartbeats.
        return await asyncio.to_thread(self._simulate, durations, start, end, books)

    def _simulate(
        self, durations: Durations, start: datetime, end: datetime, books: dict[str, LedgerState]
    ) -> Forecast:
        registered = self._registered
        return forecast(
            {key: known.spans for key, known in registered.tasks.items()},
            registered.limits,
            durations,
            start=start,
            end=end,
            namespace_id=registered.namespace_id,
            ledgers=books,
            propose=False,
            slack_s=SCATTER_S,
        )

    async def _books(self) -> dict[str, LedgerState]:
        """What every governor has on its books; one that does not answer is left out."""
        tenants = [
            tenant_id
            async for governor in self._client.list_workflows(_OPEN_GOVERNORS, page_size=1000)
            if (tenant_id := parse_governor_id(governor.id))
        ]
        return await read_books(self._client, tenants)


async def read_books(client: Client, tenants: list[str]) -> dict[str, LedgerState]:
    """The ledgers of these tenants as they are; one whose governor does not answer is left out."""
    books: dict[str, LedgerState] = {}

    async def read(tenant_id: str) -> None:
        try:
            view = await view_governor(client, tenant_id)
        except RPCError as error:
            log.warning("no ledger", action="governor_silent", reason=str(error))
            return
        if view and not view.restoring:
            books[tenant_id] = view.state

    await at_once(tenants, read)
    return books


def _real(books: dict[str, LedgerState], since: float, until: float) -> list[Real]:
    """The conflicts that governors met after `since` and up to `until`."""
    found = []
    for tenant_id, state in books.items():
        for conflict in state.conflicts:
            if not since < conflict.at <= until:
                continue
            kind, resource = place_of(conflict.dimension)
            asking = parse_run_id(conflict.run_id)
            by_hand = asking is not None and asking.scheduled_time is None
            found.append(
                Real(tenant_id, kind, resource, conflict.task_id, conflict.at, by_hand=by_hand)
            )
    return found


def _foreseen(conflict: ConflictAhead) -> Foreseen:
    return Foreseen(
        tenant_id=conflict.tenant_id,
        kind=conflict.kind,
        resource=conflict.resource,
        task_ids=list(conflict.tasks),
        at=conflict.at.timestamp(),
        noted=conflict.noted,
    )
