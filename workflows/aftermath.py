"""What is made of a run that failed: evidence, and somebody's work."""

from datetime import datetime

from temporalio import workflow

from domain.notices import Breach, BreachKind, NoticeInput, WorkOrderSeed, breach_id_of
from domain.states import RunState
from domain.task import Task
from domain.trace import trace_id
from workflows.failures import Failures
from workflows.outcome import Outcome


def seed_of(
    task: Task, failures: Failures, cause: str, error_code: str | None = None
) -> WorkOrderSeed:
    """A work order about the run as it is now."""
    last = failures.of_the_run()
    info = workflow.info()
    return WorkOrderSeed(
        plugin_id=task.plugin_id,
        error_code=error_code or (last.error_code if last else None),
        cause=cause,
        attempts=list(failures.seen),
        trace_id=trace_id(info.workflow_id, info.run_id),
    )


def failure_notices(
    task: Task, failures: Failures, outcome: Outcome, expected_by: datetime | None
) -> list[NoticeInput]:
    """A run that failed for good is somebody's work, if its task says so."""
    failed = outcome.state in (RunState.FAILED, RunState.COMPENSATED)
    if not failed or task.work_order not in ("on_failure", "both"):
        return []
    run_id = workflow.info().workflow_id
    return [
        NoticeInput(
            breach=Breach(
                breach_id=breach_id_of(run_id, BreachKind.FAILED),
                kind=BreachKind.FAILED,
                tenant_id=task.tenant_id,
                task_id=task.task_id,
                run_id=run_id,
                expected_by=expected_by,
                observed_at=workflow.now(),
                severity=task.sla.severity if task.sla else "medium",
                message=f"{outcome.error_code}: {outcome.reason}",
            ),
            work_order=seed_of(task, failures, outcome.reason or "", outcome.error_code),
        )
    ]
