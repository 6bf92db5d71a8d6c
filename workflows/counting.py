"""What workflow code counts: once when it happens, and not again when a history is replayed.

Without anybody who reads them the meters do nothing, and cost next to nothing.
"""

from datetime import datetime

from temporalio import workflow

from domain import run_metrics as names
from domain.run import Fire
from domain.states import RunState
from domain.task import Task
from workflows.outcome import Outcome


def count(name: str, **labels: str) -> None:
    """One more."""
    workflow.metric_meter().create_counter(name).add(1, labels)


def observe(name: str, seconds: float, **labels: str) -> None:
    """How long something took."""
    workflow.metric_meter().create_histogram_float(name).record(max(0.0, seconds), labels)


def show(name: str, value: float) -> None:
    """How something is."""
    workflow.metric_meter().create_gauge_float(name).set(value)


def run_started(task: Task, fire: Fire, started: datetime) -> None:
    """A run begins its first attempt."""
    waited = (started - fire.trigger_time).total_seconds()
    observe(names.TRIGGER_LATENCY, waited, tenant_id=task.tenant_id)


def run_retries(task: Task) -> None:
    """A run begins another attempt."""
    count(names.RETRY, tenant_id=task.tenant_id, plugin_id=task.plugin_id)


def run_ended(task: Task, outcome: Outcome, *, started: datetime | None) -> None:
    """A run has ended; `started`: when it began its first attempt, if it did."""
    run = {"tenant_id": task.tenant_id, "plugin_id": task.plugin_id}
    if outcome.state is RunState.SUCCESS:
        count(names.SUCCESS, **run)
    if outcome.state is RunState.FAILED:
        count(names.FAILED, **run, error_code=outcome.error_code or "")
    count(names.ENDED, **run, status=outcome.state.value)
    if started:
        took = (workflow.now() - started).total_seconds()
        observe(names.DURATION, took, plugin_id=task.plugin_id)


def run_compensated(plugin_id: str, outcome: Outcome) -> None:
    """A run was undone, or could not be."""
    undone = outcome.state is not RunState.FAILED
    status = RunState.SUCCESS if undone else RunState.FAILED
    count(names.COMPENSATION, plugin_id=plugin_id, status=status.value)
