"""Laying roll-ups down on the shelves that keep them, and reading them back. Needs a worker."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from domain.attributes import PIECES_MEMO, ROLLUP
from domain.ids import (
    ROLLUP_MARKS_PREFIX,
    parse_rollup_id,
    parse_rollup_marks_id,
    rollup_id,
    rollup_marks_id,
    rollup_prefix,
)
from domain.rollup import (
    MOST_BYTES,
    Counted,
    Drop,
    Keep,
    Mark,
    Piece,
    RollupStart,
    newest_counts,
    piece_of_mark,
    whole_days,
)
from shared.calls import at_once, is_missing, look_at
from shared.errors import TaskflowError
from shared.registry import watch_queue

_OPEN = f"WorkflowType = '{ROLLUP}' AND ExecutionStatus = 'Running'"

TenantDay = tuple[str, date]


class NotKept(TaskflowError):  # noqa: N818 - reads as what happened
    """A shelf did not take what it was sent: it was ended just then, or somebody else filled it."""


@dataclass(frozen=True, slots=True)
class RollupStore:
    """The shelves of a namespace. `patience`: how long one may take to answer, None: as it does."""

    client: Client
    task_queue: str
    patience: timedelta | None = None

    async def days(
        self, tenants: Collection[str], wanted: Collection[date]
    ) -> dict[TenantDay, Counted]:
        """What lies there of these tenants' days. Errors: `RPCError`."""
        found: dict[TenantDay, Counted] = {}
        months = {day.replace(day=1) for day in wanted}

        async def read(place: TenantDay) -> None:
            tenant_id, month = place
            pieces = [piece for part in await self._parts(tenant_id, month) for piece in part]
            for day, counted in newest_counts(pieces).items():
                if day in wanted:
                    found[tenant_id, day] = counted

        await at_once([(name, month) for name in sorted(tenants) for month in months], read)
        return found

    async def marks(self, wanted: Collection[date]) -> dict[date, Mark]:
        """Which tenants these days had, where that is known. Errors: `RPCError`."""
        found: dict[date, Mark] = {}
        for month in {day.replace(day=1) for day in wanted}:
            shelf = await self._read(rollup_marks_id(month)) or []
            counts = newest_counts(shelf).items()
            found |= {day: counted.mark() for day, counted in counts if day in wanted}
        return found

    async def listed(self, tenant_id: str | None = None) -> dict[str, set[date]]:
        """By tenant the days that lie there, as Temporal lists it: some seconds late."""
        query = _OPEN
        if tenant_id is not None:
            query += f" AND WorkflowId STARTS_WITH '{rollup_prefix(tenant_id)}'"
        names: defaultdict[str, list[str]] = defaultdict(list)
        async for shelf in self.client.list_workflows(query, page_size=1000):
            if place := parse_rollup_id(shelf.id):
                names[place[0]] += (await shelf.memo()).get(PIECES_MEMO) or []
        return {tenant: whole_days(own) for tenant, own in names.items()}

    async def keep(self, tenant_id: str, pieces: list[Piece]) -> None:
        """Lay a day down, whole or not at all, in the place of what was counted of it before.

        Until the last piece lies there, what was counted before is what is read. Errors: `NotKept`,
        `RPCError`; doing it again is safe.
        """
        day, counted_at = pieces[0].day, pieces[0].counted_at
        parts = await self._parts(tenant_id, day)
        sizes = [sum(piece.size for piece in part) for part in parts]
        places: defaultdict[int, list[Piece]] = defaultdict(list)
        for piece in pieces:
            room = (n for n, size in enumerate(sizes) if size + piece.size <= MOST_BYTES)
            place = next(room, len(sizes))
            if place == len(sizes):
                sizes.append(0)
            sizes[place] += piece.size
            places[place].append(piece)
        for place, own in places.items():
            for piece in own:  # one at a time: a signal is as large as a piece at most
                await self._signal(rollup_id(tenant_id, day, place), piece)
        after = await self._parts(tenant_id, day)
        laid = newest_counts(piece for part in after for piece in part).get(day)
        if laid is None or laid.counted_at < counted_at:
            raise NotKept(f"the roll-up of {tenant_id} for {day} was not kept: it is tried again")
        for place, part in enumerate(after):
            if any(piece.day == day and piece.counted_at < laid.counted_at for piece in part):
                handle = self.client.get_workflow_handle(rollup_id(tenant_id, day, place))
                await handle.signal("drop", Drop(day=day, before=laid.counted_at))

    async def mark(self, day: date, mark: Mark, *, counted_at: datetime) -> None:
        """Say what is known of a day. Errors: `RPCError`."""
        workflow_id = rollup_marks_id(day)
        await self._signal(workflow_id, piece_of_mark(day, mark, counted_at=counted_at))
        handle = self.client.get_workflow_handle(workflow_id)
        await handle.signal("drop", Drop(day=day, before=counted_at))

    async def end_before(self, month: date) -> int:
        """Let go of the shelves of earlier months, and tell how many. Errors: `RPCError`."""
        gone: list[str] = []
        async for shelf in self.client.list_workflows(_OPEN, page_size=1000):
            place = parse_rollup_id(shelf.id)
            own = place[1] if place else None
            if shelf.id.startswith(ROLLUP_MARKS_PREFIX):
                own = parse_rollup_marks_id(shelf.id)
            if own and own < month:
                gone.append(shelf.id)

        async def end(workflow_id: str) -> None:
            try:
                await self.client.get_workflow_handle(workflow_id).signal("end")
            except RPCError as error:
                if not is_missing(error):
                    raise

        await at_once(gone, end)
        return len(gone)

    async def _parts(self, tenant_id: str, day: date) -> list[list[Piece]]:
        """The pieces of a tenant's month, part by part; one that somebody ended is empty."""
        parts: list[list[Piece]] = []
        while True:
            found = await self._read(rollup_id(tenant_id, day, len(parts)))
            if found is None and parts:
                return parts if any(parts) else []
            parts.append(found or [])

    async def _read(self, workflow_id: str) -> list[Piece] | None:
        found = await look_at(
            self.client, workflow_id, "pieces", RollupStart, patience=self.patience
        )
        return found.pieces if found else None

    async def _signal(self, workflow_id: str, piece: Piece) -> None:
        await self.client.start_workflow(
            ROLLUP,
            RollupStart(),
            id=workflow_id,
            task_queue=watch_queue(self.task_queue),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal="keep",
            start_signal_args=[Keep(pieces=[piece])],
            static_summary="how tasks did, day by day",
        )
