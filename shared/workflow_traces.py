"""The spans that a run's workflow tells of: the run, its admissions and its attempts.

They may outlive the process that began them, so they are told of when they are over, from what the
history says: a worker that takes over from one that was lost tells of them as that one would have.
None of it makes a command, and nothing is told while history is replayed.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from opentelemetry.trace import SpanKind
from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    TimeoutError,  # noqa: A004 - Temporal's own name for it
    TimeoutType,
    is_cancelled_exception,
)
from temporalio.worker import (
    ExecuteWorkflowInput,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ActivityHandle

from domain.attributes import ASK_GOVERNOR, EXECUTE_PLUGIN, TASK_RUN
from domain.governor import Answer
from domain.run import ExecuteInput, ExecuteResult, TaskRunInput
from domain.run_line import RUN_FIELDS, RunLine
from domain.states import RunState
from domain.trace import (
    Parent,
    attempt_span,
    parse_traceparent,
    run_span,
    span_id,
    trace_id,
    trigger_span,
)
from shared.spans import Attribute, Span, Spans, nanoseconds

TOLD_HEADER = "taskflow-trigger-told"
"""Of a run whose first span is told of by who started it."""


def trigger_name(request: TaskRunInput) -> str:
    """Of the span of what made a run."""
    if request.manual:
        return "trigger manual"
    if request.event:
        return "trigger event"
    return "trigger late" if request.finding else "trigger schedule"


def code_of(error: BaseException) -> str | None:
    """Why something failed, in a word; None for an activity that is left to its plugin."""
    cause = (error.cause or error) if isinstance(error, ActivityError) else error
    if is_cancelled_exception(error) or isinstance(cause, asyncio.CancelledError):
        return "CANCELLED"
    if isinstance(cause, ApplicationError):
        return cause.type or "UNKNOWN"
    if isinstance(cause, TimeoutError):
        return "WORKER_LOST" if cause.type is TimeoutType.HEARTBEAT else "PLUGIN_TIMEOUT"
    return type(cause).__name__ if isinstance(cause, Exception) else None


class RunInbound(WorkflowInboundInterceptor):
    """Of any workflow; only runs are told of."""

    spans: ClassVar[Spans]

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """Stand between the run and its activities."""
        self._outbound = _RunOutbound(outbound)
        super().init(self._outbound)

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        """The run. An error that closes no workflow is one of its task: it is tried again."""
        info = workflow.info()
        trace = trace_id(info.workflow_id, info.run_id)
        if info.workflow_type != TASK_RUN or not self.spans.is_sampled(trace):
            return await super().execute_workflow(input)
        story = self._outbound.story = _Story(trace, self.spans)
        try:
            result = await super().execute_workflow(input)
        except (FailureError, asyncio.CancelledError):
            story.ended(input)
            raise
        story.ended(input)
        return result


class _RunOutbound(WorkflowOutboundInterceptor):
    """Sees a run ask and call."""

    story: "_Story | None" = None

    def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        """A call of the plugin, or another."""
        if self.story and input.activity == EXECUTE_PLUGIN:
            return self.story.attempts(super().start_activity(input), input.args[0])
        return super().start_activity(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:  # noqa: A002
        """A short call of the plugin, a question to the governor, or another."""
        if self.story and input.activity == EXECUTE_PLUGIN:
            return self.story.attempts(super().start_local_activity(input), input.args[0])
        if self.story and input.activity == ASK_GOVERNOR:
            return self.story.asks(super().start_local_activity(input))
        return super().start_local_activity(input)


class _Story:
    """What a run has begun and not ended. Only whoever makes history tells of it."""

    def __init__(self, trace: str, spans: Spans) -> None:
        self._trace = trace
        self._spans = spans
        self._calls: dict[str, datetime] = {}
        self._asked: datetime | None = None
        self._asks = 0
        self._admissions = 0
        self._answer: Answer | None = None
        self._queued: Answer | None = None

    def attempts(self, handle: ActivityHandle[Any], request: ExecuteInput) -> ActivityHandle[Any]:
        """An attempt begins, or goes on as an activity of its own."""
        if self._asked:
            self._admitted()  # nobody could decide, and it may go all the same
        attempt = request.attempt or 1
        own = attempt_span(self._trace, attempt, compensates=request.compensates)
        self._calls.setdefault(own, workflow.now())
        handle.add_done_callback(lambda done: self._attempted(done, request, attempt, own))
        return handle

    def asks(self, handle: ActivityHandle[Any]) -> ActivityHandle[Any]:
        """The run asks for admission, for the first time or once more."""
        self._asked = self._asked or workflow.now()
        self._asks += 1
        handle.add_done_callback(self._answered)
        return handle

    def ended(self, input: ExecuteWorkflowInput) -> None:  # noqa: A002
        """The run is over, and with it whatever it waited for."""
        if self._asked:
            self._admitted()
        line, request = _line(), input.args[0]
        if workflow.unsafe.is_replaying_history_events() or line is None:
            return
        info = workflow.info()
        if TOLD_HEADER not in input.headers:
            self._tell_trigger(line, request)
        failed = line["status"] is RunState.FAILED
        self._tell(
            "run",
            run_span(self._trace),
            trigger_span(self._trace),
            info.workflow_start_time,
            {
                **{f"taskflow.{name}": line.get(name) for name in RUN_FIELDS if name != "trace_id"},
                "taskflow.plugin_id": request.task.plugin_id,
                "temporal.run_id": info.run_id,
            },
            error=line["error_code"] or "FAILED" if failed else None,
            kind=SpanKind.CONSUMER,
        )

    def _tell_trigger(self, line: RunLine, request: TaskRunInput) -> None:
        """From when the run was due to when there was one."""
        started = workflow.info().workflow_start_time
        due = min(line["trigger_time"] or started, started)
        said = request.event.event.get("traceparent", "") if request.event else ""
        sender = parse_traceparent(str(said))
        self._tell(
            trigger_name(request),
            trigger_span(self._trace),
            None,
            due,
            {f"taskflow.{name}": line.get(name) for name in ("tenant_id", "task_id", "run_id")},
            ended=started,
            kind=SpanKind.PRODUCER,
            links=[sender] if sender else [],
        )

    def _attempted(
        self, done: "asyncio.Future[Any]", request: ExecuteInput, attempt: int, own: str
    ) -> None:
        error = _error_of(done)
        result = None if error else done.result()
        if isinstance(result, ExecuteResult) and result.accepted:
            return  # the plugin works on: what waits for its report is the same attempt
        began = self._calls.pop(own, None)
        if began is None:
            return
        self._tell(
            "compensation" if request.compensates else "attempt",
            own,
            run_span(self._trace),
            began,
            {
                "taskflow.attempt": attempt,
                "taskflow.plugin_id": request.plugin_id,
                "taskflow.fence": request.fence,
            },
            error=code_of(error) if error else None,
        )

    def _answered(self, done: "asyncio.Future[Any]") -> None:
        self._answer = None if _error_of(done) else done.result()
        if self._answer and self._answer.kind in ("granted", "refused"):
            self._admitted()
        elif self._answer:
            self._queued = self._answer

    def _admitted(self) -> None:
        """The end of an admission: granted, refused, or given up."""
        began, asks, answer, queued = self._asked, self._asks, self._answer, self._queued
        self._asked, self._asks, self._queued = None, 0, None
        if began is None:
            return
        self._admissions += 1
        attributes: dict[str, Attribute] = {"taskflow.admission.asked": asks}
        if answer:
            attributes |= {
                "taskflow.admission.answer": answer.kind,
                "taskflow.admission.code": answer.code,
                "taskflow.fence": answer.fence or None,
            }
        if queued:
            attributes |= {
                "taskflow.admission.waited_for": queued.waits_for,
                "taskflow.admission.blockers": queued.blockers or None,
            }
        own = span_id(self._trace, "admission", self._admissions)
        self._tell("admission", own, run_span(self._trace), began, attributes)

    def _tell(
        self,
        name: str,
        own: str,
        parent: str | None,
        began: datetime,
        attributes: dict[str, Any],
        *,
        ended: datetime | None = None,
        **others: Any,
    ) -> None:
        if workflow.unsafe.is_replaying_history_events():
            return
        trace = self._trace
        self._spans.tell(
            Span(
                name,
                Parent(trace, own, True),
                Parent(trace, parent, True) if parent else None,
                nanoseconds(began),
                nanoseconds(ended or workflow.now()),
                attributes=attributes,
                **others,
            )
        )


def _line() -> RunLine | None:
    tells: Callable[[], RunLine] | None = getattr(workflow.instance(), "run_line", None)
    return tells() if tells else None


def _error_of(done: "asyncio.Future[Any]") -> BaseException | None:
    return asyncio.CancelledError() if done.cancelled() else done.exception()
