"""A run whose first call fails, and whose second one comes after the shortest wait there is."""

from typing import Any

from temporalio.client import Client, WorkflowHandle

from benchmarks.scenarios.plain import start_run, task_of
from benchmarks.scenarios.scenario import BACK_OFF, FAILS_ONCE, RETRIED, Scenario
from domain.duration import format_duration

TASK = task_of(
    "retried",
    plugin_id=RETRIED,
    retry={"max_attempts": 3, "initial_interval": format_duration(BACK_OFF)},
)


async def _start(client: Client, key: str) -> WorkflowHandle[Any, Any]:
    return await start_run(client, TASK, key)


SCENARIO = Scenario("retried", "TaskRun, retried", _start, plugin=RETRIED, script=FAILS_ONCE)
