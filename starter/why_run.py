"""`why`, of a run that there is: what it waits for, how far it is, how it ended."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from domain.decisions import Queued
from domain.durations import DEFAULT_S, Durations
from domain.expected import expected_start
from domain.ledger_state import ledger_of
from domain.states import STATES, RunState
from shared.errors import TaskflowError, TemporalUnreachable
from shared.governor import view_governor
from shared.versions import missing_workers
from starter.answer import Asked, Why
from starter.newest import Newest, newest_of
from starter.present import read_present
from starter.runs import RunView
from starter.why_after import order_sentences, sla_sentences
from starter.why_open import is_paused, paused, retrying, running, to_be_paused, told

_SECOND = timedelta(seconds=1)


async def of_run(asked: Asked, run: RunView) -> Why:
    """Waiting, held, put off, running or ended. Errors: `RPCError`."""
    answer = asked.answer(run.status.lower(), run.nominal_time)
    answer.run_id = run.run_id
    if run.ended:
        _ended(asked, run, answer)
    else:
        newest = await newest_of(asked.client, run.run_id, run.temporal_run_id)
        await _open(asked, run, newest, answer)
        gone = await missing_workers(asked.client, run.run_id, asked.task_queue)
        answer.because += [gone] if gone else []
    answer.because += sla_sentences(run)
    answer.because += await order_sentences(asked, run.run_id)
    return answer


async def _open(asked: Asked, run: RunView, newest: Newest, answer: Why) -> None:
    if is_paused(run, newest):
        await paused(asked, run, newest, answer)
        return
    if run.status is RunState.QUEUED:
        answer.verdict = "waiting"
        await _waiting(asked, run, answer)
    elif run.status is RunState.RETRYING:
        await retrying(asked, run, newest, answer)
    elif run.status is not RunState.PENDING:
        await running(asked, run, answer)
    elif run.trigger_time and run.trigger_time > asked.now:
        answer.verdict = "put_off"
        answer.expected_start = run.trigger_time
        answer.because += await told(asked, run)
    else:
        text = "no worker has taken it up yet: `taskflow doctor` tells whether any polls"
        answer.because.append(text)
    answer.because += to_be_paused(asked, run, newest)


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
        answer.because += await told(asked, run)
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
        end = "has FAILED" if run.actual_start else "is SKIPPED"
        text = f"it waits until {until} at most, and {end} then (queue_timeout)"
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
