"""`why`, of a run under way: held, between two attempts, at work, undoing, or not taken up yet."""

import re
from dataclasses import dataclass
from datetime import timedelta

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from domain.duration import format_duration
from domain.states import RunState
from shared.executions import OpenExecution, open_execution
from starter.answer import Asked, Why
from starter.executions import progress_text
from starter.newest import Newest
from starter.runs import RunView

_SECOND = timedelta(seconds=1)
_WAITS = "- waits: "
"""What a run's current details begin the line with that says what it waits for."""
_WHY = "- why: "
"""The same of the line that says what it gave up for."""
_FAILED = re.compile(r"- ((?:compensation, )?attempt \d+ failed.*)")
"""A line of theirs that says how an attempt ended."""
_NEXT = re.compile(r"; next attempt at [-\d]{10} [:\d]{8} UTC(?P<late>.*)")
_CIRCUIT = "PLUGIN_CIRCUIT_OPEN: "
_SILENT = "the run does not answer: is a worker running?"

_FROM_HERE = {
    RunState.PENDING: "it was not admitted yet, and asks for admission afterwards",
    RunState.QUEUED: "it has left the queue, and asks for admission anew afterwards",
    RunState.RETRYING: "its next attempt comes afterwards, once it is admitted again",
}


@dataclass(frozen=True, slots=True)
class Story:
    """What a run itself tells in Temporal's Web UI, by line; `answers`: whether it does."""

    lines: tuple[str, ...]
    answers: bool = True

    @property
    def waits(self) -> str | None:
        """What it waits for."""
        return self._after(_WAITS)

    @property
    def gave_up(self) -> str | None:
        """Why it gave up."""
        return self._after(_WHY)

    @property
    def failed(self) -> list[str]:
        """How its attempts ended, the last ones."""
        return [found[1] for line in self.lines if (found := _FAILED.match(line))]

    def _after(self, head: str) -> str | None:
        return next((line.removeprefix(head) for line in self.lines if line.startswith(head)), None)


async def story_of(asked: Asked, run_id: str) -> Story:
    """Ask it: that takes a worker."""
    handle = asked.client.get_workflow_handle(run_id)
    try:
        found: WorkflowMetadata = await handle.query(
            "__temporal_workflow_metadata",
            result_type=WorkflowMetadata,
            rpc_timeout=timedelta(seconds=5),
        )
    except (RPCError, WorkflowQueryFailedError):
        return Story((), answers=False)
    return Story(tuple(found.current_details.splitlines()))


async def told(asked: Asked, run: RunView) -> list[str]:
    """What the run says that it waits for."""
    story = await story_of(asked, run.run_id)
    if not story.answers:
        return [_SILENT]
    return [story.waits] if story.waits else []


def is_paused(run: RunView, newest: Newest) -> bool:
    """Whether it holds just now, or will within this moment: it is where runs hold."""
    at_rest = run.held or run.status in (RunState.QUEUED, RunState.RETRYING)
    return newest.pause is not None and at_rest


async def paused(asked: Asked, run: RunView, newest: Newest, answer: Why) -> None:
    """Who holds it, since when and why; what it was at, and what ends the pause."""
    answer.verdict = "paused"
    answer.because += [_held_by(asked, newest), _FROM_HERE.get(run.status, "it goes on afterwards")]
    if run.status is RunState.RETRYING:
        answer.because += (await story_of(asked, run.run_id)).failed[-1:]
    answer.because.append(
        f"it holds nothing of what others wait for: `taskflow resume {run.run_id}` lets it go on"
    )
    if sla := asked.task.sla:
        stops = sla.while_paused == "stops"
        how = "stand still" if stops else "go on"
        answer.because.append(f"its SLA deadlines {how} meanwhile (while_paused)")


def to_be_paused(asked: Asked, run: RunView, newest: Newest) -> list[str]:
    """Of a run that was told to hold, and has not come to where it does."""
    if newest.pause is None:
        return []
    if run.status is RunState.COMPENSATING:
        return [f"{_held_by(asked, newest)}, which holds no compensation"]
    when = "before its next attempt" if run.actual_start else "before it starts"
    return [f"it will be held {when}: {_held_by(asked, newest)}"]


def _held_by(asked: Asked, newest: Newest) -> str:
    pause = newest.pause
    if pause is None:
        return "paused"
    why = f": {pause.reason}" if pause.reason else ""
    return f"paused by {pause.by} at {asked.clock(pause.at)}{why}"


async def retrying(asked: Asked, run: RunView, newest: Newest, answer: Why) -> None:
    """How the last attempt failed, and when the next one comes."""
    story = await story_of(asked, run.run_id)
    waits = story.waits or ""
    due = newest.next_attempt
    late = found["late"] if (found := _NEXT.search(waits)) else ""
    then = f"next attempt at {asked.clock(due)}{late}" if due else None
    failed = story.failed[-1:]
    open_circuit = waits.startswith(_CIRCUIT)
    if open_circuit or (run.waits_for or "").startswith("circuit:"):
        why = _NEXT.sub("", waits).removeprefix(_CIRCUIT) if open_circuit else ""
        plugin_id = run.plugin_id or asked.task.plugin_id
        answer.because.append(
            f"the circuit of plugin {plugin_id} is open" + (f": {why}" if why else "")
        )
        answer.because += [f"it asks again at {asked.clock(due)}{late}"] if due else []
        answer.because += failed
    elif failed:
        answer.because.append("; ".join(filter(None, [failed[0], then])))
    else:
        answer.because += [_SILENT] if not story.answers else []
        answer.because += [then] if then else []
    if due and due > asked.now:
        answer.expected_start = due
    _begun(asked, run, answer)


async def running(asked: Asked, run: RunView, answer: Why) -> None:
    """What the call of the plugin is at, how the one before failed, and since when it runs."""
    described = await asked.client.get_workflow_handle(run.run_id).describe()
    found = await open_execution(asked.client, described)
    story = await story_of(asked, run.run_id)
    if run.status is RunState.COMPENSATING:
        why = f": {story.gave_up}" if story.gave_up else ""
        answer.because.append(f"it gave up, and what it did is being undone{why}")
    if found:
        answer.because += _attempt(asked, found)
    elif run.status is RunState.COMPENSATING:
        answer.because.append("its compensation failed, and is about to be tried again")
    answer.because += story.failed[-1:]
    _begun(asked, run, answer)
    if run.reason:
        answer.because.append(run.reason)


def _begun(asked: Asked, run: RunView, answer: Why) -> None:
    if run.actual_start:
        length = _length(asked.now - run.actual_start)
        answer.because.append(f"it started at {asked.clock(run.actual_start)}, {length} ago")


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
