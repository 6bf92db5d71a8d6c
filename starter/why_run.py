"""`why`, of a run that there is: what it waits for, how far it is, how it ended."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from domain.decisions import Queued
from domain.duration import format_duration
from domain.durations import DEFAULT_S, Durations
from domain.expected import expected_start
from domain.ledger_state import ledger_of
from domain.states import STATES, RunState
from shared.errors import TaskflowError, TemporalUnreachable
from shared.executions import OpenExecution, open_execution
from shared.governor import view_governor
from starter.answer import Asked, Why
from starter.executions import progress_text
from starter.present import read_present
from starter.runs import RunView

_SECOND = timedelta(seconds=1)
_WAITS = "- waits: "
"""What a run's current details begin the line with that says what it waits for."""
_FAILED = re.compile(r"- ((?:compensation, )?attempt \d+ failed.*)")
"""A line of theirs that says how an attempt ended."""


async def of_run(asked: Asked, run: RunView) -> Why:
    """Waiting, put off, running or ended. Errors: `RPCError`."""
    answer = asked.answer(run.status.lower(), run.nominal_time)
    answer.run_id = run.run_id
    if run.ended:
        _ended(asked, run, answer)
    elif run.status is RunState.QUEUED:
        answer.verdict = "waiting"
        await _waiting(asked, run, answer)
    elif run.status is not RunState.PENDING:
        await _running(asked, run, answer)
    elif run.trigger_time and run.trigger_time > asked.now:
        answer.verdict = "put_off"
        answer.expected_start = run.trigger_time
        answer.because += await _told(asked, run)
    else:
        text = "no worker has taken it up yet: `taskflow doctor` tells whether any polls"
        answer.because.append(text)
    return answer


def ended_text(asked: Asked, run: RunView) -> str:
    """State, when and why of a run that has ended; what the state means where no reason says it."""
    at = f" at {asked.clock(run.ended_at)}" if run.ended_at else ""
    return f"{run.status}{at}: {run.reason or STATES[run.status].meaning}"


def _ended(asked: Asked, run: RunView, answer: Why) -> None:
    answer.because.append(f"it ended {ended_text(asked, run)}")
    if run.actual_start is None:
        answer.because.append("its plugin was not called")
    elif run.trigger_time:
        late = max(0.0, (run.actual_start - run.trigger_time) / _SECOND)
        text = f"it was due at {asked.clock(run.trigger_time)} and started {late:.1f} s later"
        answer.because.append(text)


async def _waiting(asked: Asked, run: RunView, answer: Why) -> None:
    try:
        view = await view_governor(asked.client, run.tenant_id)
    except (RPCError, WorkflowQueryFailedError):
        answer.because.append("its tenant's governor does not answer: is a worker running?")
        return
    decision = ledger_of(view.state).explain(run.run_id) if view else None
    if view is None or not isinstance(decision, Queued):
        answer.because += await _told(asked, run)
        return
    answer.position = decision.position
    answer.because += [blocker.sentence() for blocker in decision.blockers]
    answer.holder = next((r for b in decision.blockers for r in b.runs), None)
    start = expected_start(view.state, run.run_id, await _lasts(asked), asked.now.timestamp())
    if start:
        answer.expected_start = datetime.fromtimestamp(start, UTC)
    deadline = next((w.deadline for w in view.state.waiting if w.run_id == run.run_id), None)
    if deadline:
        until = asked.clock(datetime.fromtimestamp(deadline, UTC))
        text = f"it waits until {until} at most, and is SKIPPED then (queue_timeout)"
        if start is None:
            text += ": by then it is not expected to have its turn"
        answer.because.append(text)


async def _lasts(asked: Asked) -> Callable[[str], float]:
    """How long a run of each of the tenant's tasks takes, in seconds."""
    tenant_id = asked.task.tenant_id
    tasks = {asked.task.task_id: asked.task}
    durations = Durations()
    try:
        present = await read_present(asked.client, asked.task_queue, [tenant_id], asked.now)
    except TemporalUnreachable:
        raise
    except TaskflowError:  # then as their tasks say: the answer is worth more than its precision
        pass
    else:
        durations = present.durations
        tasks |= {key[1]: spans[-1].task for key, spans in present.tasks.items() if spans}

    def lasts(task_id: str) -> float:
        if task := tasks.get(task_id):
            return durations.expected(task).median_s
        learned = durations.learned((tenant_id, task_id))
        return learned.median_s if learned else DEFAULT_S

    return lasts


async def _running(asked: Asked, run: RunView, answer: Why) -> None:
    described = await asked.client.get_workflow_handle(run.run_id).describe()
    found = await open_execution(asked.client, described)
    lines = await _story(asked, run) or []
    if found:
        answer.because += _attempt(asked, found)
    else:
        answer.because += [line.removeprefix(_WAITS) for line in lines if line.startswith(_WAITS)]
    answer.because += [failed[1] for line in lines if (failed := _FAILED.match(line))][-1:]
    if run.actual_start:
        seconds = _length(asked.now - run.actual_start)
        answer.because.append(f"it started at {asked.clock(run.actual_start)}, {seconds} ago")
    if run.reason:
        answer.because.append(run.reason)


def _attempt(asked: Asked, found: OpenExecution) -> list[str]:
    """What the call of the plugin is at, and how the one before failed."""
    most = found.most if found.most > 1 else asked.task.retry.max_attempts
    count = f"attempt {found.attempt} of {max(most, found.attempt)}"
    if found.compensates:
        count = f"compensation, {count}"
    if found.started_at:
        length = _length(asked.now - found.started_at)
        what = "is at work" if found.accepted else "is being called"
        said = [f"its plugin {what}: {count}, for {length} by now"]
    elif found.due_at and found.due_at > asked.now:
        said = [f"{count} begins at {asked.clock(found.due_at)}"]
    else:
        said = [f"{count} is about to begin"]
    if found.progress and found.accepted:
        at = found.progress.accepted_at
        said.append(progress_text(found.progress, asked.clock(at) if at else None))
    if found.last_failure:
        said.append(f"attempt {found.attempt - 1} failed: {found.last_failure}")
    return said


def _length(length: timedelta) -> str:
    return format_duration(max(timedelta(0), timedelta(seconds=round(length / _SECOND))))


async def _told(asked: Asked, run: RunView) -> list[str]:
    """What the run says that it waits for."""
    lines = await _story(asked, run)
    if lines is None:
        return ["the run does not answer: is a worker running?"]
    return [line.removeprefix(_WAITS) for line in lines if line.startswith(_WAITS)]


async def _story(asked: Asked, run: RunView) -> list[str] | None:
    """What the run itself tells in Temporal's Web UI; None when it does not answer."""
    handle = asked.client.get_workflow_handle(run.run_id)
    try:
        found: WorkflowMetadata = await handle.query(
            "__temporal_workflow_metadata",
            result_type=WorkflowMetadata,
            rpc_timeout=timedelta(seconds=5),
        )
    except (RPCError, WorkflowQueryFailedError):
        return None
    return found.current_details.splitlines()
