"""A run that its tenant's governor admits: a mutex group of its own, a quota, and an SLA."""

from typing import Any

from temporalio.client import Client, WorkflowHandle

from benchmarks.scenarios.plain import QUEUE, start_run, task_of
from benchmarks.scenarios.scenario import TENANT, Scenario
from domain.limits import TenantLimits
from shared.governor import configure

LIMITS = TenantLimits(max_concurrent=1000)
TASK = task_of("governed", sla={"start_within": "1m", "finish_within": "30m"})


async def prepare(client: Client) -> None:
    """The tenant's limits."""
    await configure(client, TENANT, LIMITS, task_queue=QUEUE)


async def _start(client: Client, key: str) -> WorkflowHandle[Any, Any]:
    """Every run holds another group, as runs of many tasks would."""
    task = TASK.model_copy(update={"mutex": [f"group-{key}"]})
    return await start_run(client, task, key, limited=True)


SCENARIO = Scenario("governed", "TaskRun, governed", _start, prepare)
