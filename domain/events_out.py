"""State changes of runs, told to the outside: what a run hands over, and what becomes of it."""

from datetime import datetime

from domain.payload import Payload
from domain.states import RunState

EXECUTION_UPDATED = "task.execution.updated"
"""The CloudEvents type of a state change."""


class StateChange(Payload):
    """One move of a run. `sequence` counts from 1 in the run; `attempt` 0 before the first."""

    sequence: int
    status: RunState
    previous: RunState | None
    at: datetime
    attempt: int = 0
    reason: str | None = None
    error_code: str | None = None


class RunChanges(Payload):
    """State changes of one run, in order, that nobody was told of yet.

    `handed_over`: earlier ones of this run went to a `Delivery` workflow, so these must follow
    them there.
    """

    tenant_id: str
    task_id: str
    plugin_id: str
    run_id: str
    trace_id: str
    changes: list[StateChange]
    handed_over: bool = False


class Published(Payload):
    """What became of changes: all were delivered, or handed to a `Delivery` workflow.

    `sinks`: whether anybody listens to this tenant's runs at all.
    """

    sinks: bool = False
    handed_over: bool = False
