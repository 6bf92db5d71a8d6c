"""The state of a run that Temporal closed before its own code could say how it ended."""

from temporalio.client import WorkflowExecutionStatus

from domain.states import RunState, is_end

_CLOSED_WITHOUT_US = {
    WorkflowExecutionStatus.TERMINATED: (RunState.CANCELLED, "terminated in Temporal"),
    WorkflowExecutionStatus.TIMED_OUT: (RunState.FAILED, "timed out in Temporal"),
    WorkflowExecutionStatus.CANCELED: (RunState.CANCELLED, "cancelled before a worker took it up"),
    WorkflowExecutionStatus.FAILED: (RunState.FAILED, "failed before it could settle"),
}


def end_without_us(
    shown: RunState, closed: WorkflowExecutionStatus | None
) -> tuple[RunState, str] | None:
    """Its state and the reason, of a run that shows no end and is closed; else None."""
    return None if closed is None or is_end(shown) else _CLOSED_WITHOUT_US.get(closed)
