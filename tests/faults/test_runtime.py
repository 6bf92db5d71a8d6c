"""The plugin runtime, and all other services with it, killed in the middle of calls."""

import asyncio
from pathlib import Path

import pytest

from domain.states import RunState
from tests.killed.stack import stack_in
from tests.starter.harness import eventually_async

TENANT, RUNS = "cut-off", 12


@pytest.mark.fault(12)
@pytest.mark.soak
async def test_calls_of_a_runtime_that_was_killed_are_made_again(tmp_path: Path) -> None:
    """No call that was open is taken for done; each is made again under its key when it is back."""
    async with stack_in(tmp_path) as stack:
        await stack.staffed(1)
        await stack.sandbox.configure("works", latency=60)
        tasks = [stack.task(TENANT, f"t{n}", "works") for n in range(RUNS)]
        await asyncio.gather(*(stack.go(task) for task in tasks))

        async def all_are_called() -> bool:
            return len([one for one in stack.lines() if one["event"] == "start"]) >= RUNS

        await eventually_async(all_are_called, within=40)
        stack.outside.child.kill()
        assert not [line for line in stack.lines() if line["event"] in ("effect", "end")]
        await stack.outside.start()
        assert (await stack.over(TENANT, within=90))[TENANT] == []
        runs = (await stack.evidence(TENANT)).runs
        assert {run.status for run in runs} == {RunState.SUCCESS}
        assert all(run.retry_count >= 1 for run in runs)
