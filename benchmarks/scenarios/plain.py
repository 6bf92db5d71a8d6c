"""A run of ours that nothing governs: no limit, no overlap rule, and the plugin succeeds."""

from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WorkflowHandle

from benchmarks.scenarios.scenario import PARAMS, PLUGIN, TENANT, Scenario
from domain.attributes import TASK_RUN
from domain.document import Document
from domain.ids import manual_run_id
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


async def _start(client: Client, key: str) -> WorkflowHandle[Any, Any]:
    """As `taskflow trigger` starts one, with all that a schedule puts on its runs."""
    return await client.start_workflow(
        TASK_RUN,
        TaskRunInput(task=TASK, manual=ManualFire(at=datetime.now(UTC))),
        id=manual_run_id(TENANT, TASK.task_id, key),
        task_queue=QUEUE,
        search_attributes=run_attributes(TASK, TriggerKind.MANUAL),
        priority=priority_of(TASK, 1.0),
        static_summary=summary_of(TASK),
    )


SCENARIO = Scenario("plain", "TaskRun, plain", _start)
