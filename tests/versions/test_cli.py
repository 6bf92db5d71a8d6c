"""`taskflow versions` and `taskflow doctor`, as an operator uses them."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client

from domain.attributes import REGISTRY
from domain.registry import Snapshot
from shared.settings import Settings
from shared.versions import Status, Version
from starter.replaying import replay_open
from tests.starter.harness import Ended, eventually_async
from tests.versions.harness import Deployed
from worker.build import new_worker

PLAIN_RUN_EVENTS = 13
"""Of a run without versions, too: tests/workflows/test_task_run.py counts them."""


@workflow.defn(name=REGISTRY)
class FormerRegistry:
    """A registry as no release ever was: today's cannot go on with it."""

    @workflow.run
    async def run(self, snapshot: Snapshot) -> None:
        """Sleep, where it would wait for signals."""
        await workflow.sleep(timedelta(days=1))


async def _versions_check(deployed: Deployed) -> dict[str, Any]:
    ended = await deployed.taskflow("doctor", "--json")
    [found] = [check for check in ended.document["checks"] if check["name"] == "versions"]
    return dict(found)


async def test_new_runs_are_given_to_a_version_by_a_command(deployed: Deployed) -> None:
    """From no version to a share, to all of them, and back; `doctor` says how it stands."""
    none = await deployed.taskflow("versions", TASKFLOW_DEPLOYMENT="")
    assert none.out.startswith(
        "Workers are not versioned: TASKFLOW_DEPLOYMENT names no deployment."
    )
    missing = await deployed.taskflow("versions", "use", "nope")
    assert missing.code == 1
    assert "has no version 'nope': start its workers first" in missing.err

    async with deployed.inside("one"):
        waiting = await deployed.go()
        await eventually_async(lambda: _known(deployed, "one"))
        doctor = await _versions_check(deployed)
        assert not doctor["ok"]
        assert doctor["fix"] == "`taskflow versions use BUILD_ID`"
        part = await deployed.taskflow("versions", "use", "one", "--ramp", "10", "--json")
        assert _row(part, "one")["status"] == "ramping"
        assert _row(part, "one")["ramp_percent"] == 10
        used = await deployed.taskflow("versions", "use", "one")
        assert used.out.splitlines()[0] == "All new runs go to one."
        await asyncio.wait_for(waiting.result(), 20)

        told = await deployed.told(waiting.id)
        assert (told.versions, told.events) == ({"one"}, PLAIN_RUN_EVENTS)
        doctor = await _versions_check(deployed)
        assert doctor["ok"]
        assert doctor["detail"] == f"deployment {deployed.name}: one is current"
        back = await deployed.taskflow("versions", "use", "unversioned", "--json")
        assert _row(back, "unversioned")["status"] == "current"
        assert _row(back, "one")["ramp_percent"] is None


async def test_a_workflow_that_this_code_cannot_go_on_with_is_found_before(
    temporal: Client, deployed: Deployed
) -> None:
    """Among what is open in Temporal, and nothing of it is changed."""
    queue, name = f"{deployed.name}-former", f"former/{deployed.name}"
    async with new_worker(temporal, task_queue=queue, workflows=[FormerRegistry], activities=[]):
        handle = await temporal.start_workflow(REGISTRY, Snapshot(), id=name, task_queue=queue)

        async def broken() -> list[str]:
            found = await replay_open(temporal, Settings(), runs=False, limit=1000)
            assert {kind.workflow for kind in found.kinds} > {"Governor", REGISTRY}
            assert found.ok is not any(kind.broken for kind in found.kinds)
            return [
                one.why for kind in found.kinds for one in kind.broken if one.workflow_id == name
            ]

        await eventually_async(broken)
        [why] = await broken()
        assert "Nondeterminism" in why
        await handle.terminate()


def test_what_is_needed_is_told_from_what_can_go() -> None:
    """Whether workers can be stopped, and whether some are missing."""

    def version(status: Status, workers: int, runs: int) -> Version:
        return Version("1", status, None, workers, runs, 0)

    assert version(Status.DRAINED, 1, 0).safe_to_stop
    assert version(Status.INACTIVE, 1, 0).safe_to_stop
    assert not version(Status.DRAINING, 1, 1).safe_to_stop
    assert not version(Status.CURRENT, 1, 0).safe_to_stop
    assert version(Status.CURRENT, 0, 0).stranded
    assert "start them, or give new runs to another" in version(Status.RAMPING, 0, 0).trouble
    assert not version(Status.DRAINED, 0, 0).stranded


async def _known(deployed: Deployed, build_id: str) -> bool:
    ended = await deployed.taskflow("versions", "--json")
    return any(row["build_id"] == build_id for row in ended.document["versions"])


def _row(ended: Ended, build_id: str) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    [found] = [row for row in ended.document["versions"] if row["build_id"] == build_id]
    return dict(found)
