"""A run whose plugin answers 202 and reports its success at once, through the HTTP API."""

from typing import Any

from temporalio.client import Client, WorkflowHandle

from benchmarks.scenarios.plain import start_run, task_of
from benchmarks.scenarios.scenario import ACCEPTED, Scenario

TASK = task_of("asynchronous", plugin_id=ACCEPTED)


async def _start(client: Client, key: str) -> WorkflowHandle[Any, Any]:
    return await start_run(client, TASK, key)


SCENARIO = Scenario(
    "asynchronous", "TaskRun, asynchronous", _start, plugin=ACCEPTED, script=("accept:0",)
)
