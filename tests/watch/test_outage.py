"""The server killed for longer than the catch-up window: every fire is accounted for, once."""

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
from starter.doctor import check_watch
from starter.registry import carry_out, make_plan
from starter.runs import RunView, list_runs
from tests.starter.harness import eventually_async
from tests.watch.processes import looked, process, setting, single_effects

QUEUE = "outage"
DOWN = timedelta(seconds=32)


@pytest.mark.fault(9)
async def test_every_fire_of_an_outage_runs_once_or_is_shown_as_missed(
    policy: Policy, plugin: SandboxClient, plugin_url: str, tmp_path: Path
) -> None:
    """Before, during and after: no nominal time is without a run, and no work is done twice."""
    place = setting(tmp_path, plugin_url, QUEUE)
    said = {"tenant_id": "acme", "task_id": "often", "plugin_id": "p", "overlap": "allow"}
    said |= {"triggers": [{"every": "10s"}], "catchup": "10s"}  # type: ignore[dict-item]
    registration = read_registration(Document({"tasks": [said]}), policy)
    with process(tmp_path / "worker.log", *place.worker, **place.environment):
        with process(tmp_path / "server.log", *place.server) as server:
            client = await place.client()
            plan = await make_plan(client, registration, task_queue=QUEUE)
            await carry_out(client, plan)
            began = (await client.get_schedule_handle("task/acme/often").describe()).info.created_at
            await eventually_async(lambda: list_runs(client), within=20)
            await eventually_async(lambda: last_watch(client), within=20)  # it keeps its schedule
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            killed = datetime.now(UTC)
        await asyncio.sleep(DOWN.total_seconds())
        with process(tmp_path / "server.log", *place.server):
            client = await place.client()
            back = datetime.now(UTC)
            await looked(client, back)
            due = list(task_times(registration.tasks[0], after=began, until=back))
            runs: dict[datetime, RunView] = {}

            async def all_ended() -> bool:
                for run in await list_runs(client, limit=1000):
                    if run.nominal_time:
                        runs[run.nominal_time] = run
                return all(at in runs and runs[at].ended for at in due)

            await eventually_async(all_ended, within=30)
            missed = [at for at in due if runs[at].status is RunState.MISSED]
            assert missed
            assert all(killed - timedelta(seconds=2) < at < back for at in missed)
            assert all("the task's catchup is 10s" in (runs[at].reason or "") for at in missed)
            ran = {runs[at].run_id for at in due if at not in missed}
            assert {runs[at].status for at in due if at not in missed} == {RunState.SUCCESS}
            # A call whose answer the dead server never recorded comes again, under the same key.
            done = single_effects(await plugin.deliveries())
            assert ran <= done
            assert not {runs[at].run_id for at in missed} & done
            last = await last_watch(client)
            assert last
            totals = last.totals
            assert totals.missed == len(missed)
            assert totals.due == sum(
                getattr(totals, name)
                for name in ("on_time", "late", "waiting", "started", "missed", "skipped")
            )
            assert (await check_watch(client, datetime.now(UTC))).ok
