"""What a run was once started with."""

from dataclasses import dataclass

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client
from temporalio.service import RPCError

from domain.run import TaskRunInput
from shared.calls import is_missing


@dataclass(frozen=True, slots=True)
class Given:
    """What a run was started with, and on which task queue."""

    request: TaskRunInput
    task_queue: str


async def given_to(client: Client, run_id: str) -> Given | None:
    """Read from the run's history; None when Temporal has no such run (any more).

    Errors: `RPCError`; `ValueError` when it is no run of ours.
    """
    request = GetWorkflowExecutionHistoryRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=run_id),
        maximum_page_size=1,
    )
    try:
        response = await client.workflow_service.get_workflow_execution_history(request)
    except RPCError as error:
        if is_missing(error):
            return None
        raise
    started = response.history.events[0].workflow_execution_started_event_attributes
    given = await client.data_converter.decode(list(started.input.payloads), [TaskRunInput])
    if not given or not isinstance(given[0], TaskRunInput):
        raise ValueError(f"{run_id} was started with nothing that a run can be started with")
    return Given(given[0], started.task_queue.name)
