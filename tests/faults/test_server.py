"""The Temporal server killed in a burst of starts, and started again on its file."""

import asyncio
import random
from pathlib import Path

import pytest

from domain.states import RunState
from tests.faults.work import begin
from tests.killed.stack import stack_in

TENANT, RUNS = "burst", 120


@pytest.mark.fault(8)
@pytest.mark.soak
async def test_a_server_killed_in_a_burst_is_found_again_by_all(
    chance: random.Random, tmp_path: Path
) -> None:
    """Twice, at moments drawn by chance: workers and client go on, and every run has one effect."""
    async with stack_in(tmp_path) as stack:
        workers = await stack.staffed(2)
        await stack.sandbox.configure("works", latency=0.3)
        tasks = [
            stack.task(TENANT, f"t{n}", "works", mutex=[f"m{n // 3}"] if n % 3 else [])
            for n in range(RUNS)
        ]
        starting = [asyncio.create_task(begin(stack, task)) for task in tasks]
        for _ in range(2):
            await asyncio.sleep(chance.uniform(0.2, 3))
            stack.server.child.kill()
            await asyncio.sleep(chance.uniform(0.5, 5))
            await stack.server.start()
        await asyncio.gather(*starting)
        assert (await stack.over(TENANT, within=180))[TENANT] == []
        runs = (await stack.evidence(TENANT)).runs
        assert (len(runs), {run.status for run in runs}) == (RUNS, {RunState.SUCCESS})
        assert stack.alive() == workers, "nobody had to start a worker again"
