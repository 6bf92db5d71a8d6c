"""Starting the run of a fire by hand of the product: late, or in the past, under the same id."""

from collections.abc import Mapping
from dataclasses import dataclass

from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from domain.attributes import REASON_MEMO, STAGGER_MEMO, TASK_RUN, TRIGGER_TIME
from domain.due import due_of
from domain.ids import scheduled_run_id
from domain.recovery import is_short
from domain.run import Finding, TaskRunInput, kind_of
from domain.task import Task
from shared.schedules import details_of, run_attributes, summary_of

_TRIGGER_TIME = SearchAttributeKey.for_datetime(TRIGGER_TIME)


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how the runs of a task are started: what its schedule's action says too."""

    task_queue: str
    priority: Priority
    jitter_seed: str | None
    limited: bool = False


async def start_fire(
    client: Client, task: Task, finding: Finding, place: Place, memo: Mapping[str, str]
) -> bool:
    """Start the run of one fire; False when it has one, running or ended. Errors: `RPCError`."""
    due = due_of(task, finding.scheduled_time, place.jitter_seed)
    kind = kind_of(task, due.nominal_time)
    stagger = round((due.scheduled_time - due.nominal_time).total_seconds())
    try:
        await client.start_workflow(
            TASK_RUN,
            TaskRunInput(
                task=task,
                jitter_seed=place.jitter_seed,
                finding=finding,
                limited=place.limited,
                short=is_short(task),
            ),
            id=scheduled_run_id(task.tenant_id, task.task_id, due.scheduled_time),
            task_queue=place.task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=TypedSearchAttributes(
                [
                    *run_attributes(task, kind),
                    SearchAttributePair(_TRIGGER_TIME, due.trigger_time),
                ]
            ),
            priority=place.priority,
            static_summary=summary_of(task),
            static_details=details_of(task),
            memo={REASON_MEMO: finding.reason, STAGGER_MEMO: stagger, **memo},
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
