"""`why`, of a fire that has no run: why none was made, or what becomes of it when it is due."""

import asyncio
from datetime import timedelta

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from domain.blackout import judge
from domain.due import Due
from domain.duration import format_duration
from domain.forecast import ConflictAhead
from domain.ids import registry_id, scheduled_run_id
from domain.limits import is_governed, skips_in_temporal
from domain.registry import Entry, Snapshot, shard_of, unpack_task
from domain.simulation import Outcome
from domain.states import RunState
from domain.task import EventTrigger
from domain.watch import GRACE, overlap_reason, stands_until
from shared.errors import TaskflowError, TemporalUnreachable
from shared.registry import read_shard
from starter.answer import Asked, Why
from starter.forecast import make_forecast
from starter.runs import RunView, list_runs

JUDGED_AFTER = timedelta(minutes=2)
"""By then the watch has looked at every fire."""
FORESEEN = timedelta(hours=24)
"""A fire further ahead is told without what may keep it waiting."""
REGISTRY_SECONDS = 5.0
MOST_RECORDS = 200
"""Records of the watch that may count a fire which has none of its own."""
_MARGIN_HOURS = 0.01


async def of_absent(asked: Asked, due: Due) -> Why:
    """Of a fire in the past that has no run: the first rule that fits. Errors: `RPCError`."""
    answer = asked.answer("not_made", due.nominal_time)
    age = asked.now - due.trigger_time
    if reason := await _not_expected(asked, due):
        answer.verdict = "not_expected"
        answer.because.append(reason)
    elif age < GRACE:
        answer.verdict = "due"
        answer.because.append("it is due just now: Temporal is about to start its run")
    elif record := await _record_of(asked, due):
        answer.verdict = record.status.lower()
        answer.because.append(f"the watch counted it in {record.run_id}: {record.reason}")
    elif age > asked.retention:
        answer.verdict = "beyond_retention"
        kept = format_duration(asked.retention)
        answer.because.append(f"Temporal keeps ended runs for {kept}: its run would be gone by now")
    else:
        answer.because.append("Temporal has no run of it")
        answer.because += await _kept_out(asked, due)
        if age < JUDGED_AFTER:
            answer.because.append("the watch runs it late, or records why not, within two minutes")
        else:
            text = "nor has the watch recorded why: `taskflow doctor` tells whether it works"
            answer.because.append(text)
    return answer


async def _not_expected(asked: Asked, due: Due) -> str | None:
    """What the registry remembers: registered later, paused then, or with other triggers."""
    entry = await _entry(asked)
    at, created = due.trigger_time, asked.description.info.created_at
    if entry is None or not entry.stretches:
        return f"the task was registered later, at {asked.clock(created)}" if at < created else None
    for stretch in entry.stretches:
        if stretch.since < at and (stretch.until is None or at <= stretch.until):
            if stretch.task and unpack_task(stretch.task).triggers != asked.task.triggers:
                return "the task had other triggers then"
            return None
    first = entry.stretches[0].since
    if at > first:
        return "the task was paused then"
    if at < created:
        return f"the task was registered later, at {asked.clock(min(first, created))}"
    return f"what the task was like then is not remembered; it fires since {asked.clock(first)}"


async def _entry(asked: Asked) -> Entry | None:
    workflow_id = registry_id(asked.task.tenant_id, shard_of(asked.task.task_id))
    try:
        async with asyncio.timeout(REGISTRY_SECONDS):
            snapshot: Snapshot = await read_shard(asked.client, workflow_id)
    except (RPCError, WorkflowQueryFailedError, TimeoutError):
        return None
    return snapshot.entries.get(asked.task.task_id)


async def _record_of(asked: Asked, due: Due) -> RunView | None:
    """The record that counts this fire among others, as the watch makes them after an outage."""
    for status in (RunState.MISSED, RunState.SKIPPED):
        runs = await list_runs(
            asked.client,
            tenant_id=asked.task.tenant_id,
            task_id=asked.task.task_id,
            status=status,
            since=due.trigger_time,
            limit=MOST_RECORDS,
        )
        for run in runs:
            until = stands_until(run.reason or "")
            if until and run.trigger_time and run.trigger_time < due.trigger_time <= until:
                return run
    return None


async def _kept_out(asked: Asked, due: Due) -> list[str]:
    """The run that made Temporal's own schedule leave this fire out."""
    if not skips_in_temporal(asked.task, limited=asked.request.limited):
        return []
    runs = await list_runs(
        asked.client,
        tenant_id=asked.task.tenant_id,
        task_id=asked.task.task_id,
        under_way_at=due.trigger_time,
        limit=1,
    )
    return [overlap_reason(run.run_id) for run in runs]


async def of_future(asked: Asked, due: Due) -> Why:
    """Of a fire to come: paused, in a blackout, or as the forecast has it. Errors: `RPCError`."""
    task = asked.task
    answer = asked.answer("will_run", due.nominal_time)
    state = asked.description.schedule.state
    if state.paused:
        answer.verdict = "paused"
        answer.because.append(state.note or "the task is paused")
        return answer
    if due.trigger_time != due.nominal_time:
        what = " and ".join(name for name in ("stagger", "spread", "jitter") if getattr(task, name))
        answer.because.append(f"with its {what} it is due at {asked.clock(due.trigger_time)}")
    verdict = judge(task, due.trigger_time)
    if verdict.skipped:
        answer.verdict = "will_skip"
        answer.because.append(f"it is due {verdict.reason}")
        return answer
    answer.expected_start = verdict.at
    if verdict.reason:
        answer.verdict = "put_off"
        answer.because.append(f"it is {verdict.reason}")
    limited = asked.request.limited
    governed = is_governed(task, limited=limited)
    if verdict.at - asked.now > FORESEEN:
        if governed:
            answer.because.append("that is too far ahead to tell what it may wait for")
    elif governed or skips_in_temporal(task, limited=limited):
        await _foresee(asked, due, verdict.at - asked.now, answer)
    return answer


def of_event_to_come(asked: Asked) -> Why:
    """Of a task that fires at no time any more, and is run by events."""
    answer = asked.answer("on_event", None)
    state = asked.description.schedule.state
    if state.paused:
        answer.verdict = "paused"
        answer.because.append(state.note or "the task is paused")
        answer.because.append("events that come meanwhile start no run of it")
        return answer
    triggers = [t for t in asked.task.triggers if isinstance(t, EventTrigger)]
    for trigger in triggers:
        only = f" with {trigger.filter}" if trigger.filter else ""
        answer.because.append(f"it runs when an event {trigger.event}{only} comes")
    return answer


async def _foresee(asked: Asked, due: Due, ahead: timedelta, answer: Why) -> None:
    """What the forecast has for it."""
    hours = ahead / timedelta(hours=1) + _MARGIN_HOURS
    tenant_id = asked.task.tenant_id
    try:
        forecast = await make_forecast(
            asked.client, tenant_id, hours, asked.now, task_queue=asked.task_queue
        )
    except TemporalUnreachable:
        raise
    except TaskflowError as error:
        answer.because.append(f"what it may wait for is not known: {error}")
        return
    run_id = scheduled_run_id(tenant_id, asked.task.task_id, due.scheduled_time)
    found = [c for c in forecast.conflicts if c.run_id == run_id and c.kind != "blackout"]
    for conflict in found:
        answer.because.append(f"it {conflict.outcome_text()}")
        if conflict.kind != "sla":
            _take(conflict, answer)
    if not found:
        answer.because.append("nothing is foreseen that it would have to wait for")


def _take(conflict: ConflictAhead, answer: Why) -> None:
    match conflict.outcome:
        case Outcome.WAITS:
            answer.verdict = "will_wait"
            answer.expected_start = conflict.at + timedelta(seconds=conflict.wait_s or 0)
        case Outcome.SKIPPED | Outcome.QUEUE_TIMEOUT:
            answer.verdict, answer.expected_start = "will_skip", None
        case Outcome.FAILED:
            answer.verdict, answer.expected_start = "will_fail", None
