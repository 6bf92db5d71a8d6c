"""Replaying what is open in Temporal with the code of this installation, before it gets the work.

Code that cannot follow a history hangs its workflow, and code that answers otherwise than it did
has another memory than those it told: both are found here, and nothing is changed.
"""

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from temporalio import workflow
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.service import RPCError
from temporalio.worker import (
    HandleUpdateInput,
    Interceptor,
    Replayer,
    UnsandboxedWorkflowRunner,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

import workflows
from domain.attributes import TASK_RUN
from shared.builds import build_of
from shared.calls import is_missing
from shared.settings import Settings
from starter.rpc import temporal_errors

MOST_WORDS = 300
_NULL = b"null"
"""What no payload says."""
DEFINITION = "__temporal_workflow_definition"
_Answers = dict[tuple[str, str], Any]
"""By the run, and the id of the update."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A workflow that the code cannot go on with."""

    workflow_id: str
    why: str

    def as_json(self) -> dict[str, str]:
        """An entry of a document."""
        return {"workflow_id": self.workflow_id, "why": self.why}


@dataclass(slots=True)
class Kind:
    """Workflows of one type: how many are open, were replayed, and cannot be gone on with."""

    workflow: str
    open: int = 0
    replayed: int = 0
    broken: list[Broken] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one build would make of what is open."""

    build_id: str
    kinds: tuple[Kind, ...]

    @property
    def ok(self) -> bool:
        """Whether it can go on with everything that was replayed."""
        return not any(kind.broken for kind in self.kinds)

    def as_json(self) -> dict[str, Any]:
        """The document of `versions check`."""
        return {
            "build_id": self.build_id,
            "ok": self.ok,
            "workflows": [
                {
                    "workflow": kind.workflow,
                    "open": kind.open,
                    "replayed": kind.replayed,
                    "broken": [broken.as_json() for broken in kind.broken],
                }
                for kind in self.kinds
            ],
        }


def every_workflow() -> dict[str, type]:
    """Each workflow of the product, by its name in Temporal."""
    found: dict[str, type] = {}
    for module in iter_modules(workflows.__path__, f"{workflows.__name__}."):
        for item in vars(import_module(module.name)).values():
            if isinstance(item, type) and (definition := vars(item).get(DEFINITION)):
                found[definition.name] = item
    return found


async def replay_open(client: Client, settings: Settings, *, runs: bool, limit: int) -> Replayed:
    """Of each type the newest `limit` that are open; `runs`: also task runs.

    Errors: `TemporalUnreachable`, `TaskflowError`.
    """
    kinds = [Kind(name) for name in sorted(every_workflow()) if runs or name != TASK_RUN]
    with temporal_errors():
        for kind in kinds:
            query = f"WorkflowType = '{kind.workflow}' AND ExecutionStatus = 'Running'"
            kind.open = (await client.count_workflows(query)).count
            async for workflow_id, why in replay(client, _open_of(client, query, limit)):
                kind.replayed += 1
                if why:
                    kind.broken.append(Broken(workflow_id, why))
    return Replayed(build_of(settings).build_id, tuple(kinds))


async def _open_of(client: Client, query: str, limit: int) -> AsyncIterator[WorkflowHistory]:
    async for found in client.list_workflows(query, limit=limit):
        try:
            handle = client.get_workflow_handle(found.id, run_id=found.run_id)
            yield await handle.fetch_history()
        except RPCError as error:
            if not is_missing(error):  # ended and forgotten since it was listed
                raise


async def replay(
    client: Client,
    histories: AsyncIterator[WorkflowHistory],
    types: Iterable[type] | None = None,
) -> AsyncIterator[tuple[str, str | None]]:
    """The id of each workflow, and why the code of this process cannot go on with it, or None.

    `types` are all of the product's if left out.
    """
    answers: _Answers = {}
    replayer = Replayer(
        workflows=list(types or every_workflow().values()),
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=client.data_converter,
        interceptors=[_Listening(answers)],
    )
    async with replayer.workflow_replay_iterator(histories) as results:
        async for result in results:
            failure, history = result.replay_failure, result.history
            if failure:
                yield history.workflow_id, str(failure)[:MOST_WORDS]
            else:
                yield history.workflow_id, await _differs(client.data_converter, history, answers)


async def _differs(
    converter: DataConverter, history: WorkflowHistory, answers: _Answers
) -> str | None:
    """Which answer would be another one than it was, or None."""
    for event in history.events:
        done = event.workflow_execution_update_completed_event_attributes
        said = done.outcome.success.payloads
        key = (history.run_id, done.meta.update_id)
        if not said or key not in answers:
            continue
        [now] = converter.payload_converter.to_payloads([answers[key]])
        codec = converter.payload_codec
        then = (await codec.decode(said))[0] if codec else said[0]
        if not agrees(json.loads(then.data or _NULL), json.loads(now.data or _NULL)):
            return f"update {key[1]} (event {event.event_id}) was answered otherwise"
    return None


def agrees(then: Any, now: Any) -> bool:
    """Whether everything that was said is still said; fields that came later are no matter."""
    if isinstance(then, dict) and isinstance(now, dict):
        return all(name in now and agrees(value, now[name]) for name, value in then.items())
    if isinstance(then, list) and isinstance(now, list):
        return len(then) == len(now) and all(map(agrees, then, now))
    return bool(then == now)


class _Listening(Interceptor):
    """Writes down what updates are answered."""

    def __init__(self, answers: _Answers) -> None:
        self._answers = answers

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 - Temporal's name
    ) -> type[WorkflowInboundInterceptor]:
        """One for each workflow that is replayed."""
        answers = self._answers

        class Listening(WorkflowInboundInterceptor):
            async def handle_update_handler(self, input: HandleUpdateInput) -> Any:  # noqa: A002
                answer = await super().handle_update_handler(input)
                answers[workflow.info().run_id, input.id] = answer
                return answer

        return Listening
