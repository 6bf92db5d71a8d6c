"""Every line of a log about a run has the same fields, whoever wrote it; see `domain.run_line`.

A line is about a run when it names one (`run_id`), or when the code of a run wrote it. Of what the
line itself does not say the run's workflow knows all; anywhere else it is what the id says, and the
trace where Temporal's own id of the run is known. The rest is null. On lines of the API that are
about no run, `trace_id` is that of the request.
"""

from typing import Any, cast

from structlog.typing import EventDict
from temporalio import activity, workflow

from domain.attributes import TASK_RUN
from domain.ids import parse_run_id
from domain.run_line import RUN_FIELDS, TellsItsLine
from domain.trace import trace_id

_CONTEXTS = ("temporal_workflow", "temporal_activity")
"""What Temporal's own loggers add: where a line was written."""
_REPEATED = ("__temporal_error_identifier", "temporal_log")
"""And what says nothing more."""


def complete_run_line(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """A structlog processor; Temporal's context goes, since our own fields say the same."""
    said: dict[str, Any] = {}
    for name in _CONTEXTS:
        said |= event.pop(name, None) or {}
    for name in _REPEATED:
        event.pop(name, None)
    if said.get("workflow_type") == TASK_RUN:
        event.setdefault("run_id", said["workflow_id"])
    run_id = event.get("run_id")
    parsed = parse_run_id(run_id) if isinstance(run_id, str) else None
    if run_id is None or parsed is None:
        if "request_trace_id" in event:
            event.setdefault("trace_id", event.pop("request_trace_id"))
        return event
    known = _told_by_the_run(run_id) or {
        "task_id": parsed.task_id,
        "tenant_id": parsed.tenant_id,
        "trace_id": _trace_of(run_id, said),
    }
    for name in RUN_FIELDS:
        if event.get(name) is None:
            event[name] = known.get(name)
    return event


def _told_by_the_run(run_id: str) -> dict[str, Any] | None:
    """What the workflow says that is running in this thread, if it is this run's."""
    if not workflow.in_workflow() or workflow.info().workflow_id != run_id:
        return None
    run = workflow.instance()
    if not hasattr(run, "run_line"):
        return None
    return cast("dict[str, Any]", cast("TellsItsLine", run).run_line())


def _trace_of(run_id: str, said: dict[str, Any]) -> str | None:
    """The run's trace, where its execution is known: in its activities, and on Temporal's lines."""
    temporal_run_id = said.get("workflow_run_id") or said.get("run_id")
    if temporal_run_id and said.get("workflow_id") == run_id:
        return trace_id(run_id, temporal_run_id)
    if activity.in_activity():
        info = activity.info()
        if info.workflow_id == run_id and info.workflow_run_id:
            return trace_id(run_id, info.workflow_run_id)
    return None


def without_unknown(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """People need not read what is null."""
    for name in RUN_FIELDS:
        if event.get(name, "") is None:
            del event[name]
    return event
