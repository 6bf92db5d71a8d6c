"""Counting: fires that were due against the runs that Temporal lists, task by task.

Both are read piece by piece, so that memory does not grow with the time that is counted.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecution
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError

from domain.agenda import Agenda, Fire, Key, Spans
from domain.attributes import (
    ACTUAL_START,
    REASON_MEMO,
    RETRY_COUNT,
    SLA_STATUS,
    TASK_RUN,
    TASK_STATUS,
    TRIGGER_KIND,
    TRIGGER_TIME,
)
from domain.ids import parse_run_id, scheduled_run_id
from domain.levels import FATES, Fate, Level
from domain.run import TriggerKind
from domain.sla import SlaStatus
from domain.states import RunState, is_end
from domain.watch import WINDOW, SeenRun, judge_run, stands_until
from shared.calls import at_once, is_missing
from shared.run_ends import end_without_us

MOST_FIRES = 50_000
"""Held at once: a time with more of them is counted in several pieces."""
MOST_ASKED = 1_000
"""Fires without a run in Temporal's list that are asked for by their ids."""
WATCHED_WITHIN = timedelta(minutes=3)
"""After so long the watch has told of a fire that no run came of."""
REGISTERING = timedelta(seconds=5)
"""Between a task's registration and its schedule."""
_SECOND = timedelta(seconds=1)
_SCHEDULED = "TemporalScheduledStartTime"
_RECORDED = {RunState.MISSED: Fate.MISSED, RunState.SKIPPED: Fate.SKIPPED}

_STATUS = SearchAttributeKey.for_keyword(TASK_STATUS)
_KIND = SearchAttributeKey.for_keyword(TRIGGER_KIND)
_SLA = SearchAttributeKey.for_keyword(SLA_STATUS)
_START = SearchAttributeKey.for_datetime(ACTUAL_START)
_TRIGGER_TIME = SearchAttributeKey.for_datetime(TRIGGER_TIME)
_RETRIES = SearchAttributeKey.for_int(RETRY_COUNT)

FireKey = tuple[Key, datetime]
"""A task, and the scheduled time of its fire."""
Wanted = Callable[[str, datetime], bool]
"""Whether what a tenant had due at an instant is to be counted."""


async def retention_of(client: Client) -> timedelta:
    """How long Temporal keeps what has ended. Errors: `RPCError`."""
    namespace = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace)
    )
    return namespace.config.workflow_execution_retention_ttl.ToTimedelta()


def runs_query(
    tenant_id: str | None, after: datetime, until: datetime, jitter: timedelta = timedelta(0)
) -> str:
    """Runs of schedules by their scheduled time, others by when they were due; and some more."""
    first, last = _text(after - _SECOND), _text(until + _SECOND)
    jittered = _text(until + jitter + _SECOND)
    tenant = f"AND TenantId = '{tenant_id}' " if tenant_id else ""
    return (
        f"WorkflowType = '{TASK_RUN}' {tenant}"
        f"AND (({_SCHEDULED} >= '{first}' AND {_SCHEDULED} <= '{last}') "
        f"OR ({_SCHEDULED} IS NULL AND "
        f"(({TRIGGER_TIME} >= '{first}' AND {TRIGGER_TIME} <= '{jittered}') OR "
        f"({TRIGGER_TIME} IS NULL AND StartTime >= '{first}' AND StartTime <= '{last}'))))"
    )


@dataclass(frozen=True, slots=True)
class ListedRun:
    """What the count of a run needs. `scheduled`: None of one that no schedule made."""

    run_id: str
    key: Key
    scheduled: datetime | None
    due: datetime
    actual_start: datetime | None
    ended_at: datetime | None
    status: RunState
    kind: str | None
    retries: int
    sla: SlaStatus | None
    reason: str

    @property
    def ended(self) -> bool:
        """Whether it is in an end state."""
        return is_end(self.status)


async def listed_run(execution: WorkflowExecution) -> ListedRun | None:
    """A listed or described execution as a run; None when it is not one of ours."""
    parsed = parse_run_id(execution.id)
    if parsed is None:
        return None
    found = execution.typed_search_attributes
    status, reason = RunState(found.get(_STATUS) or RunState.PENDING), ""
    if closed := end_without_us(status, execution.status):
        status = closed[0]
    if status in _RECORDED:
        reason = (await execution.memo()).get(REASON_MEMO) or ""
    sla = found.get(_SLA)
    return ListedRun(
        run_id=execution.id,
        key=(parsed.tenant_id, parsed.task_id),
        scheduled=parsed.scheduled_time,
        due=found.get(_TRIGGER_TIME) or parsed.scheduled_time or execution.start_time,
        actual_start=found.get(_START),
        ended_at=execution.close_time,
        status=status,
        kind=found.get(_KIND),
        retries=found.get(_RETRIES) or 0,
        sla=SlaStatus(sla) if sla else None,
        reason=reason,
    )


class Counting:
    """Counts stretches of time, each once; `levels` is what they come to.

    `spans`: when which task was to fire. `wanted`: what to leave out, because it is known already.
    By tenant: `open_runs` had not ended, `lost` are fires with neither a run nor a record.
    """

    def __init__(
        self,
        client: Client,
        spans: Mapping[Key, Spans],
        now: datetime,
        *,
        tenant_id: str | None = None,
        wanted: Wanted = lambda _tenant, _at: True,
    ) -> None:
        self._client = client
        self._tenant_id = tenant_id
        self._spans = spans
        self._now = now
        self._wanted = wanted
        self.levels: defaultdict[Key, Level] = defaultdict(Level)
        self.open_runs: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._asked = 0
        self._standing: defaultdict[Key, list[tuple[datetime, datetime, Fate]]] = defaultdict(list)
        jitters = [span.task.jitter for own in spans.values() for span in own]
        self._most_jitter = max(jitters, default=timedelta(0))

    async def count(self, after: datetime, until: datetime) -> None:
        """Fires and runs after an instant, and up to another one. Errors: `RPCError`."""
        # Without a namespace tasks are due as if they had no jitter: by their scheduled times.
        await self._look_back(after)
        agenda = Agenda(after)
        # What came later has no fire then, and its first one takes a search.
        spans = {key: own for key, own in self._spans.items() if own and own[0].since < until}
        await asyncio.to_thread(agenda.sync, spans)
        while agenda.position < until:
            before = agenda.position
            fires = await asyncio.to_thread(agenda.take, until, MOST_FIRES)
            await self._piece(fires, before, agenda.position)

    async def _look_back(self, after: datetime) -> None:
        """Note records of before that stand for fires of after."""
        records = " OR ".join(f"{TASK_STATUS} = '{status}'" for status in _RECORDED)
        before = runs_query(self._tenant_id, after - WINDOW - self._most_jitter, after)
        async for execution in self._client.list_workflows(
            f"{before} AND ({records})", page_size=1000
        ):
            run = await listed_run(execution)
            if run and run.scheduled and run.scheduled <= after:
                self._stand(run, run.scheduled)

    async def _piece(self, fires: list[Fire], after: datetime, until: datetime) -> None:
        absent = {
            (fire.key, fire.scheduled)
            for fire in fires
            if self._wanted(fire.key[0], fire.scheduled)
        }
        query = runs_query(self._tenant_id, after, until, self._most_jitter)
        async for execution in self._client.list_workflows(query, page_size=1000):
            run = await listed_run(execution)
            if run is None:
                continue
            at = run.scheduled or run.due
            if after < at <= until and self._wanted(run.key[0], at):
                self._count(run)
                if run.scheduled:
                    absent.discard((run.key, run.scheduled))
        await self._settle(sorted(absent, key=lambda fire: fire[1]))

    def _count(self, run: ListedRun) -> None:
        """One run, and the fire that it is of."""
        level = self.levels[run.key]
        began = run.actual_start is not None
        level.run(run.status, began=began, retries=run.retries, sla=run.sla)
        self.open_runs[run.key[0]] += not run.ended
        if run.scheduled is None and run.kind != TriggerKind.EVENT:
            return  # by hand: nothing was due
        latency = run.actual_start - run.due if run.actual_start else None
        level.fire(_fate(run, self._now), latency)
        if run.scheduled:
            self._stand(run, run.scheduled)

    def _stand(self, run: ListedRun, scheduled: datetime) -> None:
        fate = _RECORDED.get(run.status)
        if fate and (last := stands_until(run.reason)):
            self._standing[run.key].append((scheduled, last, fate))

    async def _settle(self, absent: list[FireKey]) -> None:
        """Fires that no listed run is of.

        A blackout may have put a run off, and Temporal's list lags behind its truth: some are asked
        for, and among them may be the records that stand for others.
        """
        unknown = [fire for fire in absent if not self._told(fire)]
        room = MOST_ASKED - self._asked
        asked, rest = unknown[:room], unknown[room:]
        self._asked += len(asked)
        found: set[FireKey] = set()

        async def ask(fire: FireKey) -> None:
            handle = self._client.get_workflow_handle(scheduled_run_id(*fire[0], fire[1]))
            try:
                run = await listed_run(await handle.describe())
            except RPCError as error:
                if not is_missing(error):
                    raise
                return
            if run:
                self._count(run)
                found.add(fire)

        await at_once(asked, ask)
        for fire in (*asked, *rest):
            if fire not in found and not self._told(fire):
                self._lose(fire)

    def _told(self, fire: FireKey) -> bool:
        """Count a fire that the record of an earlier one stands for, or that never was to be."""
        key, at = fire
        fates = (fate for first, last, fate in self._standing[key] if first < at <= last)
        if fate := next(fates, None):
            self.levels[key].fire(fate)
            return True
        return any(span.since < at <= span.since + REGISTERING for span in self._spans[key])

    def _lose(self, fire: FireKey) -> None:
        key, at = fire
        waits = self._now - at < WATCHED_WITHIN + self._most_jitter
        self.levels[key].fire(Fate.WAITING if waits else Fate.MISSED)
        self.lost[key[0]] += not waits


def _fate(run: ListedRun, now: datetime) -> Fate:
    """As the watch judges it; what it recorded stands."""
    if run.status is RunState.MISSED:
        return Fate.MISSED
    seen = SeenRun(
        run_id=run.run_id,
        scheduled_time=run.due,
        actual_start=run.actual_start,
        closed_at=run.ended_at,
        is_open=not run.ended,
        skipped=run.status is RunState.SKIPPED,
    )
    return FATES[judge_run(run.due, seen, now=now)]


def _text(at: datetime) -> str:
    """UTC to the millisecond, as queries have it."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
