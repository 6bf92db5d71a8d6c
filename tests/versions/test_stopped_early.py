"""Workers that were stopped while runs needed them: it is seen, said, and mended."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from domain.attributes import RESUME
from sandbox.client import SandboxClient
from shared import versions
from shared.metric_names import STRANDED_RUNS
from shared.settings import Settings
from shared.versions import UNVERSIONED, missing_workers
from tests.starter.harness import eventually_async
from tests.versions.harness import Deployed
from tests.versions.next_release import NextTaskRun
from tests.workflows.harness import Handle
from worker.looks import Looks


async def test_workers_that_are_stopped_too_early_are_missed_and_their_runs_moved(
    deployed: Deployed, plugin: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`versions`, `doctor` and `why` say what waits for whom; `move` takes what replays, only."""
    monkeypatch.setattr(versions, "ALIVE", timedelta(seconds=2))
    async with AsyncExitStack() as former:
        await former.enter_async_context(deployed.inside("one"))
        await former.enter_async_context(deployed.inside("two", runs=NextTaskRun))
        nobody = await deployed.version(UNVERSIONED)
        assert "no version is current" in nobody.trouble
        await deployed.use("two")
        of_two = await deployed.go(paused=True)
        await deployed.use("one")
        of_one = await deployed.go(paused=True)
        await eventually_async(lambda: _has(deployed, "one", 1))
    async with deployed.inside("three"):
        await _missed_and_moved(deployed, of_one, of_two)
        async with deployed.inside("two", runs=NextTaskRun):
            await of_two.signal(RESUME)
            await asyncio.wait_for(of_two.result(), 20)
    assert (await deployed.told(of_two.id)).versions == {"two"}
    assert len(await plugin.deliveries()) == 2


async def _missed_and_moved(deployed: Deployed, of_one: Handle, of_two: Handle) -> None:
    await deployed.use("three")
    await eventually_async(lambda: _is_missed(deployed, "one"))
    await eventually_async(lambda: _is_missed(deployed, "two"))
    said = (await deployed.version("one")).trouble
    assert said.startswith("1 open runs wait for workers of one, and there are none: start them")

    found = await missing_workers(deployed.client, of_one.id, deployed.queue)
    assert found == (
        "it began with version one, whose workers are gone: start them again, or "
        "`taskflow versions move one`"
    )

    registry = CollectorRegistry()
    settings = Settings(task_queue=deployed.queue, deployment=deployed.name)
    await Looks(deployed.client, settings, registry).versions()
    assert registry.get_sample_value(STRANDED_RUNS.name, {"build_id": "one"}) == 1

    elsewhere = await deployed.taskflow("versions", "move", "one")
    assert elsewhere.code == 1
    assert "cannot tell what three makes of a run" in elsewhere.err
    moved = await deployed.taskflow("versions", "move", "one", "--json", TASKFLOW_BUILD_ID="three")
    assert moved.document == {"to": "three", "moved": [of_one.id], "stay": []}
    await eventually_async(lambda: _has(deployed, "three", 1))
    await of_one.signal(RESUME)
    await asyncio.wait_for(of_one.result(), 20)
    assert (await deployed.told(of_one.id)).versions == {"one", "three"}

    stays = await deployed.taskflow("versions", "move", "two", "--json", TASKFLOW_BUILD_ID="three")
    assert stays.code == 1
    [left] = stays.document["stay"]
    assert left["workflow_id"] == of_two.id
    assert "Nondeterminism" in left["why"]


async def _has(deployed: Deployed, build_id: str, runs: int) -> bool:
    return (await deployed.version(build_id)).runs == runs


async def _is_missed(deployed: Deployed, build_id: str) -> bool:
    found = await deployed.version(build_id)
    return found.stranded and found.runs == 1
