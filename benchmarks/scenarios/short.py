"""A run whose call is made within its own workflow task: a short timeout, nothing governs it."""

from typing import Any

from temporalio.client import Client, WorkflowHandle

from benchmarks.scenarios.plain import start_run, task_of
from benchmarks.scenarios.scenario import Scenario

TASK = task_of("short", timeout="5s", heartbeat_timeout="5s")


async def _start(client: Client, key: str) -> WorkflowHandle[Any, Any]:
    return await start_run(client, TASK, key)


SCENARIO = Scenario("short", "TaskRun, short", _start)
