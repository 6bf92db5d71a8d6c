"""What `doctor` says of workers: those that ask for work now, not those that once did."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from temporalio import activity
from temporalio.client import Client

from domain.ids import plugin_queue
from starter.doctor import LONGEST_POLL, check_workers
from tests.starter.harness import eventually_async
from worker.build import new_worker
from workflows.canary import Canary


@activity.defn
async def nothing() -> None:
    """Activities are asked for by those who have one."""


async def test_a_worker_that_asks_no_more_is_none(temporal: Client) -> None:
    """Temporal still lists it: killed, or standing still, it is found out within two minutes."""
    queue = f"asks-{uuid4().hex[:8]}"
    nobody = await check_workers(temporal, queue, datetime.now(UTC))
    assert (nobody.ok, nobody.detail) == (False, f"no worker polls the task queue {queue!r}")

    async def asked() -> bool:
        return (await check_workers(temporal, queue, datetime.now(UTC))).ok

    async with (
        new_worker(temporal, task_queue=queue, workflows=[Canary], activities=[nothing]),
        new_worker(temporal, task_queue=plugin_queue(queue), workflows=[], activities=[nothing]),
    ):
        await eventually_async(asked, within=20)
    later = datetime.now(UTC) + LONGEST_POLL + timedelta(seconds=20)
    gone = await check_workers(temporal, queue, later)
    assert not gone.ok
    assert gone.detail.startswith(f"no worker has polled the task queue {queue!r} for 2m")
    assert "taskflow worker" in gone.fix
