"""Fires that no run came of: run late, or recorded as missed or skipped, at a bounded rate."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import (
    SearchAttributeKey,
)
from temporalio.service import RPCError

from activities.registered import Known
from domain.agenda import Fire, Key
from domain.attributes import (
    ACTUAL_START,
    TASK_RUN,
    TASK_STATUS,
    TRIGGER_TIME,
    WATCH_MEMO,
)
from domain.ids import parse_run_id, scheduled_run_id
from domain.run import Finding
from domain.states import RunState
from domain.watch import (
    RECORDS,
    Decision,
    SeenRun,
    Verdict,
    decide,
    judge_run,
    overlap_reason,
    summarise,
)
from shared.calls import Pace, at_once, is_missing
from shared.fires import Place, start_fire
from shared.schedules import priority_of

log = structlog.get_logger(__name__)

_START = SearchAttributeKey.for_datetime(ACTUAL_START)
_STATUS = SearchAttributeKey.for_keyword(TASK_STATUS)
_TRIGGER_TIME = SearchAttributeKey.for_datetime(TRIGGER_TIME)
_RECORDED = set(RECORDS.values())


Tallies = defaultdict[str, Counter[str]]
"""By tenant: how many fires came to each verdict."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a fire; and `more` fires of the same record, which came to `decided`."""

    run_id: str
    verdict: Verdict
    decided: Verdict
    more: int = 0


class AbsentFires:
    """Acts on fires that have no run in Temporal's list; use one for each tick."""

    def __init__(
        self, client: Client, *, starts_per_second: float, records_per_second: float
    ) -> None:
        self._client = client
        self._starts = Pace(starts_per_second)
        self._records = Pace(records_per_second)
        self._open: dict[Key, str] = {}

    async def settle(
        self,
        fires: list[Fire],
        tasks: dict[Key, Known],
        *,
        now: datetime,
        paused_in_temporal: set[Key],
    ) -> list[Settled]:
        """Give every fire a run, oldest first. Errors: `RPCError`; doing it again is safe."""
        runs = await self._runs_of(fires, tasks)
        decisions = summarise(
            decide(
                fire,
                tasks[fire.key].task,
                now=now,
                paused_in_temporal=fire.key in paused_in_temporal,
                skips=tasks[fire.key].skips_in_temporal,
                runs=runs[fire.key],
            )
            for fire in fires
        )
        return [await self._carry_out(decision, tasks[decision.fire.key]) for decision in decisions]

    async def _runs_of(
        self, fires: list[Fire], tasks: dict[Key, Known]
    ) -> defaultdict[Key, list[SeenRun]]:
        """The runs that may have kept others of their task out."""
        first: dict[Key, datetime] = {}
        for fire in fires:
            if tasks[fire.key].skips_in_temporal:
                first.setdefault(fire.key, fire.at)
        found: defaultdict[Key, list[SeenRun]] = defaultdict(list)

        async def look(key: Key) -> None:
            query = (
                f"WorkflowType = '{TASK_RUN}' AND TenantId = '{key[0]}' AND TaskId = '{key[1]}' "
                f"AND (ExecutionStatus = 'Running' OR CloseTime >= '{first[key].isoformat()}')"
            )
            async for execution in self._client.list_workflows(query, page_size=1000):
                if run := seen_run(execution):
                    found[key].append(run)
                    if run.is_open and not run.record:
                        self._open[key] = run.run_id

        await at_once(list(first), look)
        return found

    async def _carry_out(self, decision: Decision, known: Known) -> Settled:
        key = decision.fire.key
        run_id = scheduled_run_id(*key, decision.fire.scheduled)
        if (
            decision.verdict is Verdict.STARTED
            and known.skips_in_temporal
            and (before := self._open.get(key))
            and before != run_id
            and await self._is_open(before)
        ):
            decision = Decision(decision.fire, Verdict.SKIPPED, overlap_reason(before))
        if decision.verdict is Verdict.STARTED:
            self._open[key] = run_id
        verdict = await self._start(run_id, decision, known)
        return Settled(run_id, verdict, decision.verdict, decision.more)

    async def _start(self, run_id: str, decision: Decision, known: Known) -> Verdict:
        """Temporal refuses a second run of an id: what the list did not show yet is found so."""
        task, at = known.task, decision.fire.at
        finding = Finding(
            scheduled_time=decision.fire.scheduled,
            reason=decision.reason,
            status=RECORDS.get(decision.verdict),
        )
        await (self._records if finding.status else self._starts).wait()
        priority = priority_of(task, known.entry.weight)
        place = Place(known.entry.task_queue, priority, known.seed, known.limited)
        memo = {WATCH_MEMO: decision.verdict.value}
        if not await start_fire(self._client, task, finding, place, memo):
            return await self._verdict_of(run_id, at)
        log.warning(
            "a fire had no run",
            action=f"fire_{decision.verdict}",
            tenant_id=task.tenant_id,
            task_id=task.task_id,
            run_id=run_id,
            trigger_time=at,
            reason=decision.reason,
        )
        return decision.verdict

    async def _verdict_of(self, run_id: str, at: datetime) -> Verdict:
        """Of a run that was there: one of an earlier try of this tick, or one listed late."""
        execution = await self._client.get_workflow_handle(run_id).describe()
        if ours := (await execution.memo()).get(WATCH_MEMO):
            return Verdict(ours)
        run = seen_run(execution)
        return judge_run(at, run, now=datetime.now(UTC)) if run else Verdict.LATE

    async def _is_open(self, run_id: str) -> bool:
        try:
            execution = await self._client.get_workflow_handle(run_id).describe()
        except RPCError as error:
            if not is_missing(error):
                raise
            return False
        return execution.status is WorkflowExecutionStatus.RUNNING


def seen_run(execution: WorkflowExecution) -> SeenRun | None:
    """A listed or described run of a nominal time; None for one by hand."""
    parsed = parse_run_id(execution.id)
    if parsed is None or parsed.scheduled_time is None:
        return None
    attributes = execution.typed_search_attributes
    return SeenRun(
        run_id=execution.id,
        scheduled_time=parsed.scheduled_time,
        actual_start=attributes.get(_START),
        closed_at=execution.close_time,
        is_open=execution.status is WorkflowExecutionStatus.RUNNING,
        record=attributes.get(_STATUS) in _RECORDED and attributes.get(_START) is None,
        trigger_time=attributes.get(_TRIGGER_TIME),
        skipped=attributes.get(_STATUS) == RunState.SKIPPED,
    )


def counted(settled: Iterable[Settled], tallies: Tallies) -> None:
    """Add how many fires came to each verdict, those without a record of their own included."""
    for one in settled:
        tally = tallies[tenant_of(one.run_id)]
        tally[one.verdict] += 1
        tally[one.decided] += one.more


def tenant_of(run_id: str) -> str:
    """Whose run it is."""
    parsed = parse_run_id(run_id)
    return parsed.tenant_id if parsed else ""
