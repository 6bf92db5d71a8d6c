"""All workers killed for two minutes: nothing is lost, nothing runs twice, lateness is counted."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.document import Document
from domain.policy import Policy
from domain.registration import read_registration
from domain.states import RunState
from domain.triggers import task_times
from sandbox.client import SandboxClient
from shared.watch import last_watch
from starter.registry import carry_out, make_plan
from starter.runs import RunView, list_runs
from tests.starter.harness import eventually_async
from tests.watch.processes import looked, process, setting, single_effects

QUEUE = "worker-down"
DOWN = timedelta(minutes=2)


@pytest.mark.fault(5)
@pytest.mark.soak
async def test_every_fire_of_two_minutes_without_a_worker_runs_once_and_late(
    policy: Policy, plugin: SandboxClient, plugin_url: str, tmp_path: Path
) -> None:
    """The backlog drains when a worker is back; each fire is on time or late, none is missed."""
    place, log = setting(tmp_path, plugin_url, QUEUE), tmp_path / "worker.log"
    task = {"tenant_id": "acme", "task_id": "often", "plugin_id": "p", "overlap": "allow"}
    tasks = {"tasks": [task | {"triggers": [{"every": "10s"}]}]}
    registration = read_registration(Document(tasks), policy)
    with process(tmp_path / "server.log", *place.server):
        client = await place.client()
        with process(log, *place.worker, **place.environment) as first:
            plan = await make_plan(client, registration, task_queue=QUEUE)
            await carry_out(client, plan)
            began = (await client.get_schedule_handle("task/acme/often").describe()).info.created_at
            await eventually_async(lambda: list_runs(client), within=20)
            os.kill(first.pid, signal.SIGKILL)
        await asyncio.sleep(DOWN.total_seconds())
        back = datetime.now(UTC)
        with process(log, *place.worker, **place.environment):
            due = list(task_times(registration.tasks[0], after=began, until=back))
            assert len(due) >= 12
            runs: dict[datetime, RunView] = {}

            async def all_ended() -> bool:
                for run in await list_runs(client, limit=1000):
                    if run.nominal_time:
                        runs[run.nominal_time] = run
                return all(at in runs and runs[at].ended for at in due)

            await eventually_async(all_ended, within=60)
            assert {runs[at].status for at in due} == {RunState.SUCCESS}
            done = single_effects(await plugin.deliveries())
            assert {runs[at].run_id for at in due} <= done
            await looked(client, back)
            last = await last_watch(client)
            assert last
            assert last.totals.late >= 5
            assert last.totals.missed == last.totals.started == last.totals.skipped == 0
