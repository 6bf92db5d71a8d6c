"""A run that gives its mutex group away while it waits for its next attempt."""

import asyncio
from typing import Any

from domain.task import Task
from tests.admission.harness import Governed, Place, waiting
from tests.workflows.harness import Handle, Step, fail_after


async def overtaken(
    governed: Governed, tenant: str, place: Place, *steps: Step, **fields: Any
) -> tuple[Task, Handle, Handle]:
    """A run whose first attempt fails when another waits for its group, and goes to the place.

    Gives the first one's task and both. `steps` are what the first one's further calls do.
    """
    gate = asyncio.Event()
    said = {"tenant_id": tenant, "mutex": ["m"], **fields}
    task = governed.script(fail_after(gate, "BUSY"), *steps, **said)
    first = await governed.go(task)
    await governed.plugin.called(task.task_id)
    second = await governed.go(governed.at(place, tenant, mutex=["m"]))
    await waiting(second)
    gate.set()
    return task, first, second
