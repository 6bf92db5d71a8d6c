"""A task that fires every ten seconds while other things happen."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from temporalio.service import RPCError

from domain.document import Document
from domain.ids import schedule_id, scheduled_run_id
from domain.registration import read_registration
from domain.triggers import task_times
from shared.calls import is_missing
from shared.policy import load_policy
from starter.registry import carry_out, make_plan
from tests.conftest import POLICY_FILE
from tests.killed.stack import QUEUE, Stack

CLOCK = "clock"
"""Its tenant, and its plugin."""


async def register(stack: Stack, **fields: Any) -> None:
    """A task with a schedule, as `taskflow apply` makes it."""
    said = {"tenant_id": CLOCK, "task_id": "often", "plugin_id": CLOCK, "overlap": "allow"}
    document = Document({"tasks": [said | {"triggers": [{"every": "10s"}]} | fields]})
    registration = read_registration(document, load_policy(POLICY_FILE))
    plan = await make_plan(stack.client, registration, task_queue=QUEUE)
    await carry_out(stack.client, plan)
    [stack.tasks[f"{CLOCK}/often"]] = registration.tasks


async def fires_are_due(stack: Stack) -> int:
    """Stop the clock, and have all its fires be due; how many they are."""
    schedule = stack.client.get_schedule_handle(schedule_id(CLOCK, "often"))
    began = (await schedule.describe()).info.created_at
    task = stack.tasks[f"{CLOCK}/often"]
    while True:
        now = datetime.now(UTC)
        fires = list(task_times(task, after=began, until=now))
        # Far from any fire, and the last one has its run: on a busy server that is late.
        if 3 < (now - fires[-1]).total_seconds() < 8 and await _has_run(stack, fires[-1]):
            break
        await asyncio.sleep(0.5)
    await schedule.delete()
    stack.due[CLOCK] = {scheduled_run_id(CLOCK, "often", at) for at in fires}
    return len(fires)


async def _has_run(stack: Stack, at: datetime) -> bool:
    try:
        await stack.client.get_workflow_handle(scheduled_run_id(CLOCK, "often", at)).describe()
    except RPCError as error:
        if is_missing(error):
            return False
        raise
    return True
