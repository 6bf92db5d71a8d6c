"""A run of ours that nothing governs: no limit, no overlap rule, and the plugin succeeds."""

from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WorkflowHandle

from benchmarks.scenarios.scenario import PARAMS, PLUGIN, TENANT, Scenario
from domain.attributes import TASK_RUN
from domain.document import Document
from domain.ids import manual_run_id
from domain.recovery import is_short
from domain.registration import read_registration
from domain.run import ManualFire, TaskRunInput, TriggerKind
from domain.task import Task
from shared.policy import load_policy
from shared.schedules import priority_of, run_attributes, summary_of
from shared.settings import ROOT

QUEUE = "bench-taskflow"


def task_of(task_id: str, **fields: Any) -> Task:
    """A task that calls the benchmark's plugin; what `fields` leave out is the shipped policy's."""
    said = {
        "tenant_id": TENANT,
        "task_id": task_id,
        "plugin_id": PLUGIN,
        "params": PARAMS,
        "triggers": [{"cron": "0 2 * * *"}],
    }
    policy = load_policy(ROOT / "config/tasks/default_policy.yaml")
    return read_registration(Document({"tasks": [said | fields]}), policy).tasks[0]


TASK = task_of("plain")


async def start_run(
    client: Client, task: Task, key: str, *, limited: bool = False
) -> WorkflowHandle[Any, Any]:
    """As `taskflow trigger` starts one, with all that a schedule puts on its runs."""
    return await client.start_workflow(
        TASK_RUN,
        TaskRunInput(
            task=task,
            manual=ManualFire(at=datetime.now(UTC)),
            limited=limited,
            short=is_short(task),
        ),
        id=manual_run_id(TENANT, task.task_id, key),
        task_queue=QUEUE,
        search_attributes=run_attributes(task, TriggerKind.MANUAL),
        priority=priority_of(task, 1.0),
        static_summary=summary_of(task),
    )


async def _start(client: Client, key: str) -> WorkflowHandle[Any, Any]:
    return await start_run(client, TASK, key)


SCENARIO = Scenario("plain", "TaskRun, plain", _start)
