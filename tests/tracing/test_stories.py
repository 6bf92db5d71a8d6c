"""What runs tell of themselves, however often their history is replayed."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from pydantic import JsonValue
from temporalio.client import Client, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, Worker

from domain.attributes import TASK_RUN
from domain.ids import event_run_id
from domain.run import EventFire, TaskRunInput, TaskRunResult
from domain.trace import Parent, attempt_span, parse_traceparent, trace_id
from shared.run_traces import RunTraces
from shared.spans import Span, Spans
from tests.admission.harness import Governed, Place, new_tenant, skipped, waiting
from tests.starter.harness import eventually
from tests.workflows.harness import Handle, Runs, accept, ended, fail, succeed
from tests.workflows.record import HISTORIES, STORIES
from worker.build import workflow_runner
from workflows.task_run import TaskRun

SENDER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUICK = "timeout: 5s\nretry: {max_attempts: 3, initial_interval: 100ms, max_interval: 100ms}"


@dataclass
class Told(Spans):
    """Keeps what is told of."""

    spans: list[Span] = field(default_factory=list)

    def tell(self, span: Span) -> None:
        """Keep it."""
        self.spans.append(span)

    def is_sampled(self, trace: str) -> bool:
        """All of them are."""
        return True

    def of(self, handle: Handle) -> list[Span]:
        """The spans of a run that has ended, by their beginning; the longer one first."""
        trace = trace_id(handle.id, handle.first_execution_run_id or "")
        found: list[Span] = []

        def whole() -> bool:
            found[:] = [span for span in self.spans if span.own.trace == trace]
            names = {span.name.partition(" ")[0] for span in found}
            return {"run", "trigger"} <= names

        eventually(whole)
        return sorted(found, key=lambda span: (span.began, -span.ended))


def traced(temporal: Client, told: Told) -> Client:
    """The same server, by a client with the interceptor, as `connect` makes one."""
    return Client(**temporal.config() | {"interceptors": [RunTraces(told)]})


@pytest.fixture
def told() -> Told:
    """Nothing yet."""
    return Told()


@asynccontextmanager
async def forgetful(client: Client) -> AsyncIterator[Runs]:
    """Runs whose worker remembers none of them: each workflow task replays the whole history."""
    runs = Runs(client)
    worker = Worker(
        client,
        task_queue=runs.queue,
        workflows=[TaskRun],
        activities=[runs.plugin.execute_plugin, *runs.outside.activities()],
        workflow_runner=workflow_runner(),
        max_cached_workflows=0,
    )
    async with runs.calling(), worker:
        yield runs


async def test_a_span_is_told_of_once_however_often_the_run_is_replayed(
    temporal: Client, told: Told
) -> None:
    """Failures, back-offs, compensation: a worker without a cache tells as any other does."""
    async with forgetful(traced(temporal, told)) as runs:
        lines = QUICK + "\ncompensation: {plugin_id: undoer}"
        task = runs.script(fail("BUSY"), fail("BUSY"), fail("BROKEN"), succeed(), lines=lines)
        handle = await runs.start(task)
        await ended(handle)
    spans = told.of(handle)
    assert Counter(span.name for span in spans) == {
        "trigger manual": 1,
        "run": 1,
        "attempt": 3,
        "compensation": 1,
        "execute_plugin": 4,
    }
    attempts = [span for span in spans if span.name == "attempt"]
    assert [span.error for span in attempts] == ["BUSY", "BUSY", "BROKEN"]
    [run] = [span for span in spans if span.name == "run"]
    assert run.attributes["taskflow.status"] == "COMPENSATED"
    assert run.began <= attempts[0].began <= attempts[0].ended <= attempts[1].began <= run.ended


async def test_work_that_is_accepted_and_reported_is_one_attempt(
    temporal: Client, told: Told
) -> None:
    """A short call that is accepted goes on as an ordinary one: one attempt, of two calls."""
    runs = Runs(traced(temporal, told))
    async with runs.worker():
        task = runs.script(accept(), succeed(), lines=QUICK)
        handle = await runs.start(task, short=True)
        await ended(handle)
    spans = told.of(handle)
    trace = spans[0].own.trace
    [attempt] = [span for span in spans if span.name == "attempt"]
    calls = [span for span in spans if span.name == "execute_plugin"]
    assert (attempt.own.span, attempt.error) == (attempt_span(trace, 1), None)
    assert [call.parent for call in calls] == [attempt.own, attempt.own]
    assert calls[0].own != calls[1].own


async def test_who_waits_and_gives_up_has_an_admission_that_says_for_what(
    temporal: Client, told: Told
) -> None:
    """Queued until the queue deadline: the plugin was never called, and the trace says why."""
    governed = Governed(traced(temporal, told))
    async with governed.working():
        place, tenant = Place(), new_tenant()
        holder = await governed.go(governed.at(place, tenant, mutex=["m"]))
        await place.entered(holder)
        late = await governed.go(governed.at(place, tenant, mutex=["m"], queue_timeout="1s"))
        await waiting(late)
        await skipped(late)
        place.let_go()
        await holder.result()
    spans = told.of(late)
    assert [span.name for span in spans] == ["trigger schedule", "run", "admission"]
    trigger, run, admission = spans
    assert (run.parent, admission.parent) == (trigger.own, run.own)
    assert run.error is None
    assert admission.attributes["taskflow.admission.code"] == "queue_timeout"
    assert admission.attributes["taskflow.admission.waited_for"] == "mutex:m"
    assert admission.ended - admission.began >= 10**9
    assert [span.name for span in told.of(holder)].count("attempt") == 1


@pytest.mark.parametrize(("said", "linked"), [(SENDER, [parse_traceparent(SENDER)]), ("no", [])])
async def test_an_event_links_its_run_to_whoever_sent_it(
    temporal: Client, told: Told, said: str, linked: list[Parent]
) -> None:
    """By the extension `traceparent` of CloudEvents; one that is wrong is no link."""
    runs = Runs(traced(temporal, told))
    async with runs.worker():
        task = runs.script(succeed(), lines=QUICK)
        event: dict[str, JsonValue] = {"id": "1", "source": "/shop", "traceparent": said}
        handle = await runs.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, event=EventFire(at=datetime.now(UTC), event=event)),
            id=event_run_id(task.tenant_id, task.task_id, "/shop", "1"),
            task_queue=runs.queue,
            result_type=TaskRunResult,
        )
        await ended(handle)
    assert [span.links for span in told.of(handle) if span.name == "trigger event"] == [linked]


@pytest.mark.parametrize("name", STORIES)
async def test_recorded_runs_replay_with_tracing_and_tell_nothing(name: str, told: Told) -> None:
    """Workers with and without it share runs: it makes no command, and replay is no news."""
    document = json.loads((HISTORIES / f"{name}.json").read_text())
    replayer = Replayer(
        workflows=[TaskRun],
        workflow_runner=workflow_runner(),
        data_converter=pydantic_data_converter,
        interceptors=[RunTraces(told)],
    )
    await replayer.replay_workflow(
        WorkflowHistory.from_json(document["workflow_id"], document["history"])
    )
    assert told.spans == []
