"""Why a run waits, runs or ended so; why a fire made no run; what becomes of the next one."""

from datetime import UTC, datetime, timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from domain.attributes import TASK_RUN
from domain.due import Due, due_times
from domain.ids import parse_run_id, scheduled_run_id
from domain.limits import takes_events
from domain.run import TriggerKind
from domain.states import RunState
from shared.calls import is_missing
from shared.errors import NotFound
from shared.schedules import seed_of
from starter.answer import Asked, Why
from starter.control import describe_request
from starter.rpc import temporal_errors
from starter.runs import RunView, list_runs, view_of
from starter.times import rfc3339
from starter.why_after import order_sentences, sla_sentences
from starter.why_fire import of_absent, of_event_to_come, of_future
from starter.why_run import ended_text, of_run

LOOKED_AT = 20
"""Runs of the task; those under way are among its last."""
MOST_NAMED = 3
_SECOND = timedelta(seconds=1)
_STARTED = timedelta(seconds=30)
"""Within which after an event was received its run has begun, by any clock."""
MOST_OF_EVENTS = 1000
_BEFORE = [timedelta(hours=1), timedelta(days=1), timedelta(days=8), timedelta(days=367)]
"""How far back a fire is looked for: not further than needed, a task may fire every second."""


async def explain(
    client: Client,
    tenant_id: str,
    task_id: str,
    *,
    at: datetime | None,
    now: datetime,
    task_queue: str,
) -> Why:
    """Why the fire at `at` became what it is; without `at`, the run under way, else the next fire.

    `at` is the nominal time of the fire, or when it was due with the task's stagger, or with its
    jitter too, or when an event was received. Errors: `NotFound` for a task that is not registered,
    `TemporalUnreachable`.
    """
    with temporal_errors():
        asked = await _ask(client, tenant_id, task_id, now, task_queue)
        return await (_at(asked, at) if at else _now_or_next(asked))


async def explain_run(
    client: Client, tenant_id: str | None, run_id: str, *, now: datetime, task_queue: str
) -> Why:
    """Why a run is as it is. Errors: `NotFound` for a run or a task that is not this tenant's."""
    missing = f"there is no run {run_id!r}: `taskflow runs` shows their ids"
    parsed = parse_run_id(run_id)
    if parsed is None or (tenant_id and parsed.tenant_id != tenant_id):
        raise NotFound(missing)
    with temporal_errors(missing=missing):
        run = await view_of(await client.get_workflow_handle(run_id).describe())
    if run is None:
        raise NotFound(missing)
    with temporal_errors():
        asked = await _ask(client, parsed.tenant_id, parsed.task_id, now, task_queue)
        return await of_run(asked, run)


async def _ask(
    client: Client, tenant_id: str, task_id: str, now: datetime, task_queue: str
) -> Asked:
    description, request = await describe_request(client, tenant_id, task_id)
    namespace = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace)
    )
    return Asked(
        client,
        description,
        request,
        task_queue,
        seed_of(request.task, namespace.namespace_info.id),
        namespace.config.workflow_execution_retention_ttl.ToTimedelta(),
        now,
    )


async def _now_or_next(asked: Asked) -> Why:
    task = asked.task
    runs = await list_runs(
        asked.client, tenant_id=task.tenant_id, task_id=task.task_id, limit=LOOKED_AT
    )
    # A run that waits is what people ask about; one that runs comes next.
    open_runs = sorted((run for run in runs if not run.ended), key=_asked_about)
    if open_runs:
        answer = await of_run(asked, open_runs[0])
        if others := [run.run_id for run in open_runs[1:]]:
            more = f" and {len(others) - MOST_NAMED:,} more" if len(others) > MOST_NAMED else ""
            answer.because.append(f"also under way: {', '.join(others[:MOST_NAMED])}{more}")
        return answer
    due = next(due_times(task, after=asked.now, seed=asked.seed), None)
    if due:
        answer = await of_future(asked, due)
    elif takes_events(task):
        answer = of_event_to_come(asked)
    else:
        answer = asked.answer("never", None, "no trigger of the task fires any more")
    if runs:
        last = runs[0]
        answer.because.append(f"the last run, {last.run_id}, ended {ended_text(asked, last)}")
        answer.because += sla_sentences(last) + await order_sentences(asked, last.run_id)
    return answer


async def _at(asked: Asked, at: datetime) -> Why:
    found = _fire_at(asked, at)
    # Under other triggers that the task had then, there may be a run of no fire that it has now.
    run = await _run_of(asked, found.scheduled_time if found else at)
    if run is None and found is None:
        run = await _of_event(asked, at)
    if run:
        answer = await of_run(asked, run)
        answer.at = found.nominal_time if found else answer.at
        return answer
    if found is None:
        return _no_fire(asked, at)
    if found.trigger_time > asked.now:
        return await of_future(asked, found)
    return await of_absent(asked, found)


def _asked_about(run: RunView) -> bool:
    return run.status in (RunState.RUNNING, RunState.COMPENSATING)


def _fire_at(asked: Asked, at: datetime) -> Due | None:
    """The fire whose nominal, scheduled or trigger time `at` is, to the second, in this order."""
    wanted = at.replace(microsecond=0)
    margin = asked.task.jitter + asked.task.stagger + asked.task.spread + 2 * _SECOND
    fires = list(due_times(asked.task, after=at - margin, until=at + margin, seed=asked.seed))
    named = [
        *((due.nominal_time, due) for due in fires),
        *((due.scheduled_time, due) for due in fires),
        *((due.trigger_time, due) for due in fires),
    ]
    return next((due for time, due in named if time.replace(microsecond=0) == wanted), None)


async def _run_of(asked: Asked, scheduled: datetime) -> RunView | None:
    run_id = scheduled_run_id(asked.task.tenant_id, asked.task.task_id, scheduled)
    try:
        return await view_of(await asked.client.get_workflow_handle(run_id).describe())
    except RPCError as error:
        if not is_missing(error):
            raise
        return None


async def _of_event(asked: Asked, at: datetime) -> RunView | None:
    """The run of an event that was received within this second, the first one of several."""
    if not takes_events(asked.task):
        return None
    second, task = _second(at), asked.task
    query = (
        f"WorkflowType = '{TASK_RUN}' AND TenantId = '{task.tenant_id}' "
        f"AND TaskId = '{task.task_id}' AND TriggerKind = '{TriggerKind.EVENT}' "
        f"AND StartTime BETWEEN '{rfc3339(second - _SECOND)}' AND '{rfc3339(second + _STARTED)}'"
    )
    listed = asked.client.list_workflows(query, limit=MOST_OF_EVENTS)
    runs = [run async for found in listed if (run := await view_of(found))]
    of_it = [run for run in runs if run.nominal_time and _second(run.nominal_time) == second]
    return min(of_it, key=lambda run: (run.nominal_time, run.run_id), default=None)


def _second(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def _no_fire(asked: Asked, at: datetime) -> Why:
    task = asked.task
    answer = asked.answer("no_fire", at, f"no trigger of the task fires at {asked.clock(at)}")
    for span in _BEFORE:
        if before := list(due_times(task, after=at - span, until=at)):
            answer.because.append(f"the fire before is at {asked.clock(before[-1].nominal_time)}")
            break
    if following := next(due_times(task, after=at), None):
        answer.because.append(f"the next is at {asked.clock(following.nominal_time)}")
    else:
        answer.because.append("none fires after that")
    return answer
