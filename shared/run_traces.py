"""The spans of a run that its outside tells of: what made it, and the calls that it has made.

What the run itself tells of is in `shared.workflow_traces`.
"""

import time
from dataclasses import replace
from typing import Any, cast

from opentelemetry.trace import SpanKind
from temporalio import activity, client, worker
from temporalio.api.common.v1 import Payload
from temporalio.client import StartWorkflowInput, WorkflowHandle
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from domain.attributes import (
    CANCEL_EXECUTION,
    EXECUTE_PLUGIN,
    NOTIFY,
    RELEASE_CAPACITY,
    RESERVE_CAPACITY,
    TASK_RUN,
)
from domain.ids import parse_run_id
from domain.notices import NotifyInput
from domain.run import CancelInput, ExecuteInput, TaskRunInput
from domain.trace import (
    Parent,
    attempt_span,
    call_span,
    parse_traceparent,
    run_span,
    trace_id,
    trigger_span,
)
from shared.spans import Span, Spans
from shared.tracing import REQUEST
from shared.workflow_traces import TOLD_HEADER, RunInbound, code_of, trigger_name

_CALLS = (EXECUTE_PLUGIN, CANCEL_EXECUTION, RESERVE_CAPACITY, RELEASE_CAPACITY, NOTIFY)


class RunTraces(client.Interceptor, worker.Interceptor):
    """Of one process. Temporal gives those of a client to the workers that are built with it."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._inbound = type("RunInbound", (RunInbound,), {"spans": spans})

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:  # noqa: A002
        """What starts runs."""
        return _Starts(next, self._spans)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """What calls the outside."""
        return _Calls(next, self._spans)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[WorkflowInboundInterceptor]:
        """What runs."""
        return self._inbound


class _Starts(client.OutboundInterceptor):
    def __init__(self, next: client.OutboundInterceptor, spans: Spans) -> None:  # noqa: A002
        super().__init__(next)
        self._spans = spans

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        """The run's trace is known once it has its id from Temporal."""
        if input.workflow != TASK_RUN:
            return await super().start_workflow(input)
        # The run learns from it that its first span is told of here.
        input.headers = {
            **input.headers,
            TOLD_HEADER: Payload(metadata={"encoding": b"binary/null"}),
        }
        began = time.time_ns()
        handle = await super().start_workflow(input)
        trace = trace_id(input.id, handle.first_execution_run_id or "")
        if self._spans.is_sampled(trace):
            self._tell(trace, input, began)
        return handle

    def _tell(self, trace: str, input: StartWorkflowInput, began: int) -> None:  # noqa: A002
        own, request, run = Parent(trace, trigger_span(trace), True), REQUEST.get(), input.args[0]
        links = [request.own] if request else []
        if not isinstance(run, TaskRunInput):
            return
        if request:
            request.made(own)
        if run.event and (sender := parse_traceparent(str(run.event.event.get("traceparent", "")))):
            links.append(sender)
        self._spans.tell(
            Span(
                trigger_name(run),
                own,
                None,
                began,
                time.time_ns(),
                kind=SpanKind.PRODUCER,
                attributes=_names(input.id) | {"taskflow.plugin_id": run.task.plugin_id},
                links=links,
            )
        )


class _Calls(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, spans: Spans) -> None:  # noqa: A002
        super().__init__(next)
        self._spans = spans

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        """An activity of a run or its notice that calls something outside."""
        info = activity.info()
        if info.activity_type not in _CALLS or not input.args:
            return await super().execute_activity(input)
        span = _span_of(info, input.args[0])
        if span is None or not self._spans.is_sampled(span.own.trace):
            return await super().execute_activity(input)
        began, error = time.time_ns(), None
        try:
            return await super().execute_activity(input)
        except BaseException as raised:
            error = code_of(raised)
            raise
        finally:
            self._spans.tell(replace(span, began=began, ended=time.time_ns(), error=error))


def _span_of(info: activity.Info, request: object) -> Span | None:
    """Without its times; None when it is of no run that anybody knows."""
    workflow_id = info.workflow_id or ""
    attributes: dict[str, Any] = {"temporal.attempt": info.attempt}
    if info.workflow_type == TASK_RUN:
        run_id, trace = workflow_id, trace_id(workflow_id, info.workflow_run_id or "")
    elif isinstance(request, NotifyInput) and request.trace_id:
        run_id, trace = request.breach.run_id, request.trace_id
        attributes |= {"taskflow.breach_id": request.breach.breach_id}
    else:
        return None
    parent = run_span(trace)
    match request:
        case ExecuteInput():
            attempt = request.attempt or info.attempt
            parent = attempt_span(trace, attempt, compensates=request.compensates)
            attributes |= {"taskflow.plugin_id": request.plugin_id, "taskflow.attempt": attempt}
        case CancelInput():
            compensates = request.key != workflow_id
            parent = attempt_span(trace, request.attempt, compensates=compensates)
            attributes |= {"taskflow.plugin_id": request.plugin_id}
    own = call_span(trace, workflow_id, info.activity_id, info.attempt)
    return Span(
        info.activity_type,
        Parent(trace, own, True),
        Parent(trace, parent, True),
        0,
        0,
        kind=SpanKind.CLIENT,
        attributes=_names(run_id) | attributes,
    )


def _names(run_id: str) -> dict[str, Any]:
    parsed = parse_run_id(run_id)
    named = {"taskflow.run_id": run_id}
    if parsed:
        named |= {"taskflow.tenant_id": parsed.tenant_id, "taskflow.task_id": parsed.task_id}
    return cast("dict[str, Any]", named)
