"""Runs as people and tools see them, read from Temporal's visibility."""

import contextlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowFailureError,
)

from domain.attributes import EVENT_MEMO, REASON_MEMO, STAGGER_MEMO, TASK_RUN
from domain.ids import parse_run_id
from domain.limits import named
from domain.run import EventBrief, PauseInput
from domain.sla import SlaStatus
from domain.states import RunState, is_end
from domain.trace import trace_id
from shared.calls import at_once
from shared.errors import NotFound
from shared.run_ends import end_without_us
from starter.newest import newest_of
from starter.rpc import temporal_errors
from starter.times import rfc3339
from workflows import attributes as sa
from workflows.face import PAUSED


@dataclass(frozen=True, slots=True)
class RunView:
    """One run: its times in UTC, its state, and what explains it.

    `sla`: None while nothing is known of it. `pause`: of a run that is held, once it was read.
    `event`: what an event's run is of.
    """

    run_id: str
    temporal_run_id: str
    tenant_id: str
    task_id: str
    plugin_id: str | None
    trigger_kind: str | None
    nominal_time: datetime | None
    trigger_time: datetime | None
    actual_start: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    status: RunState
    reason: str | None
    retry_count: int
    error_code: str | None
    sla: SlaStatus | None = None
    waits_for: str | None = None
    position: int | None = None
    pause: PauseInput | None = None
    event: EventBrief | None = None

    @property
    def held(self) -> bool:
        """Whether a person holds it just now."""
        return self.waits_for == PAUSED and not self.ended

    @property
    def ended(self) -> bool:
        """Whether the run is in an end state."""
        return is_end(self.status)

    def as_json(self) -> dict[str, Any]:
        """The run in the `runs` document."""
        return {
            "run_id": self.run_id,
            "tenant_id": self.tenant_id,
            "task_id": self.task_id,
            "plugin_id": self.plugin_id,
            "trigger_kind": self.trigger_kind,
            "event": self.event
            and {"id": self.event.id, "source": self.event.source, "type": self.event.type},
            "nominal_time": rfc3339(self.nominal_time),
            "trigger_time": rfc3339(self.trigger_time),
            "actual_start": rfc3339(self.actual_start),
            "ended_at": rfc3339(self.ended_at),
            "duration_ms": self.duration_ms,
            "status": self.status,
            "reason": self.reason,
            "retry_count": self.retry_count,
            "error_code": self.error_code,
            "sla": sla_of(self),
            "waits_for": self.waits_for,
            "queue_position": self.position,
            "paused": self.pause
            and {
                "by": self.pause.by,
                "at": rfc3339(self.pause.at),
                "reason": self.pause.reason or None,
            },
            "trace_id": trace_id(self.run_id, self.temporal_run_id),
        }


def sla_of(run: RunView) -> dict[str, SlaStatus | None]:
    """Start and finish by themselves, of the worst that the run shows of both."""
    status, judged = run.sla, run.status is RunState.SUCCESS
    if status is None:
        return {"start": None, "finish": None}
    begun = run.actual_start is not None or judged
    late = status in (SlaStatus.START_BREACHED, SlaStatus.BREACHED)
    start = SlaStatus.BREACHED if late else SlaStatus.MET if begun else None
    finish = {
        SlaStatus.MET: SlaStatus.MET,
        SlaStatus.WARNED: SlaStatus.WARNED,
        SlaStatus.START_BREACHED: SlaStatus.MET if judged else None,
    }.get(status, SlaStatus.BREACHED)
    return {"start": start, "finish": finish}


def paused_text(pause: PauseInput) -> str:
    """In words: who, when, why."""
    why = f": {pause.reason}" if pause.reason else ""
    return f"paused by {pause.by} at {pause.at:%Y-%m-%d %H:%M:%S} UTC{why}"


def waits_text(run: RunView) -> str:
    """What an open run waits for, if it is known; of one that is held who, when and why."""
    if run.ended or run.waits_for is None:
        return ""
    if run.held:
        return paused_text(run.pause) if run.pause else PAUSED
    kind, _, name = run.waits_for.partition(":")
    if kind == "circuit":
        what = f"the circuit of plugin {name}"
    else:
        what = kind if kind == "capacity" else named(run.waits_for)
    return f"waits for {what}" + (f", position {run.position}" if run.position else "")


async def with_pauses(client: Client, runs: list[RunView]) -> list[RunView]:
    """The same runs; those that are held with who holds them, since when, and why."""
    found: dict[str, PauseInput | None] = {}

    async def read(run: RunView) -> None:
        found[run.run_id] = (await newest_of(client, run.run_id, run.temporal_run_id)).pause

    with temporal_errors():
        await at_once([run for run in runs if run.held], read)
    return [replace(run, pause=found.get(run.run_id)) for run in runs]


async def list_runs(
    client: Client,
    *,
    tenant_id: str | None = None,
    task_id: str | None = None,
    status: RunState | None = None,
    since: datetime | None = None,
    under_way_at: datetime | None = None,
    limit: int = 50,
) -> list[RunView]:
    """The latest runs, newest first. What changed within the last second may not show yet.

    `under_way_at`: only those that had begun by then and had not ended.
    """
    query = runs_query(tenant_id, task_id, status, since)
    if under_way_at:
        at = rfc3339(under_way_at)
        query += f" AND StartTime < '{at}' AND (ExecutionStatus = 'Running' OR CloseTime > '{at}')"
    found: list[RunView] = []
    with temporal_errors():
        async for execution in client.list_workflows(
            query, limit=limit, page_size=min(limit, 1000)
        ):
            if view := await view_of(execution):
                found.append(view)  # noqa: PERF401 - a comprehension would hide the await
    return newest_first(found)


def runs_query(
    tenant_id: str | None, task_id: str | None, status: RunState | None, since: datetime | None
) -> str:
    """What Temporal's list is asked for: the runs of these, started since then."""
    conditions = [f"WorkflowType = '{TASK_RUN}'"]
    conditions += [f"TenantId = '{tenant_id}'"] if tenant_id else []
    conditions += [f"TaskId = '{task_id}'"] if task_id else []
    conditions += [f"TaskStatus = '{status}'"] if status else []
    conditions += [f"StartTime >= '{rfc3339(since)}'"] if since else []
    return " AND ".join(conditions)


def newest_first(runs: list[RunView]) -> list[RunView]:
    """The same runs by their trigger times."""
    oldest = datetime.min.replace(tzinfo=UTC)
    return sorted(runs, key=lambda run: run.trigger_time or oldest, reverse=True)


async def show_run(client: Client, tenant_id: str, run_id: str) -> RunView:
    """One run of a tenant. Errors: `NotFound`, also for a run of others."""
    missing = f"there is no run {run_id!r}: `taskflow runs` shows their ids"
    parsed = parse_run_id(run_id)
    if parsed is None or parsed.tenant_id != tenant_id:
        raise NotFound(missing)
    with temporal_errors(missing=missing):
        view = await view_of(await client.get_workflow_handle(run_id).describe())
    if view is None:
        raise NotFound(missing)
    return (await with_pauses(client, [view]))[0]


async def await_end(client: Client, run_id: str) -> RunView:
    """The run after it has ended, however long that takes. Errors: `NotFound`."""
    missing = f"there is no run {run_id!r}: `taskflow runs` shows their ids"
    handle = client.get_workflow_handle(run_id)
    with temporal_errors(missing=missing):
        # A failed run is an answer too, and its view says more than the error.
        with contextlib.suppress(WorkflowFailureError):
            await handle.result()
        view = await view_of(await handle.describe())
    if view is None:
        raise NotFound(missing)
    return view


async def view_of(execution: WorkflowExecution) -> RunView | None:
    """A listed or described execution as a run; None when it is not one of ours."""
    parsed = parse_run_id(execution.id)
    if parsed is None:
        return None
    found = execution.typed_search_attributes
    status = RunState(found.get(sa.TASK_STATUS) or RunState.PENDING)
    memo = await execution.memo()
    reason: str | None = memo.get(REASON_MEMO)
    if closed := end_without_us(status, execution.status):
        status, reason = closed
    scheduled = parsed.scheduled_time or found.get(sa.TRIGGER_TIME) or execution.start_time
    event = EventBrief.model_validate(memo[EVENT_MEMO]) if EVENT_MEMO in memo else None
    nominal = event.at if event else scheduled - timedelta(seconds=memo.get(STAGGER_MEMO, 0))
    started = found.get(sa.ACTUAL_START)
    duration = found.get(sa.DURATION_MS)
    sla = found.get(sa.SLA_STATUS)
    if duration is None and started and execution.close_time:
        duration = round((execution.close_time - started) / timedelta(milliseconds=1))
    return RunView(
        run_id=execution.id,
        temporal_run_id=execution.run_id,
        tenant_id=parsed.tenant_id,
        task_id=parsed.task_id,
        plugin_id=found.get(sa.PLUGIN_ID),
        trigger_kind=found.get(sa.TRIGGER_KIND),
        nominal_time=nominal,
        trigger_time=found.get(sa.TRIGGER_TIME) or scheduled,
        actual_start=started,
        ended_at=execution.close_time,
        duration_ms=duration,
        status=status,
        reason=reason,
        retry_count=found.get(sa.RETRY_COUNT) or 0,
        error_code=found.get(sa.ERROR_CODE),
        sla=SlaStatus(sla) if sla else None,
        waits_for=None if is_end(status) else found.get(sa.WAITS_FOR),
        position=None if is_end(status) else found.get(sa.QUEUE_POSITION),
        event=event,
    )
