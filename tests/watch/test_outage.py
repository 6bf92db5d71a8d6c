"""The server killed for longer than the catch-up window: every fire is accounted for, once."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from domain.document import Document
from domain.policy import Policy
from domain.registration import read_registration
from domain.states import RunState
from domain.triggers import task_times
from sandbox.client import SandboxClient
from shared.watch import last_watch
from starter.dev.ports import HOST, Wanted, settle
from starter.dev.server import server_command, wait_until_serving
from starter.doctor import check_watch
from starter.registry import carry_out, make_plan
from starter.runs import RunView, list_runs
from tests.conftest import TEMPORAL_BINARY
from tests.starter.harness import eventually_async
from tests.watch.processes import looked, process

QUEUE = "outage"
DOWN = timedelta(seconds=32)


async def test_every_fire_of_an_outage_runs_once_or_is_shown_as_missed(
    policy: Policy, plugin: SandboxClient, plugin_url: str, tmp_path: Path
) -> None:
    """Before, during and after: no nominal time is without a run, and no work is done twice."""
    [port] = settle([Wanted("temporal", "", 0)])
    address = f"{HOST}:{port}"
    command = server_command(TEMPORAL_BINARY, port=port, ui_port=None, db=tmp_path / "t.db")
    worker = {
        "TEMPORAL_ADDRESS": address,
        "TASKFLOW_TASK_QUEUE": QUEUE,
        "TASKFLOW_PLUGIN_URL": plugin_url,
    }
    said = {"tenant_id": "acme", "task_id": "often", "plugin_id": "p", "overlap": "allow"}
    said |= {"triggers": [{"every": "10s"}], "catchup": "10s"}  # type: ignore[dict-item]
    registration = read_registration(Document({"tasks": [said]}), policy)
    with process(tmp_path / "worker.log", sys.executable, "-m", "worker", **worker):
        with process(tmp_path / "server.log", *command) as server:
            await wait_until_serving(address)
            client = await Client.connect(address, data_converter=pydantic_data_converter)
            plan = await make_plan(client, registration, task_queue=QUEUE)
            await carry_out(client, plan)
            began = (await client.get_schedule_handle("task/acme/often").describe()).info.created_at
            await eventually_async(lambda: list_runs(client), within=20)
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            killed = datetime.now(UTC)
        await asyncio.sleep(DOWN.total_seconds())
        with process(tmp_path / "server.log", *command):
            await wait_until_serving(address)
            back = datetime.now(UTC)
            client = await Client.connect(address, data_converter=pydantic_data_converter)
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
            effects: dict[str, set[int | None]] = {}
            for delivery in await plugin.deliveries():
                effects.setdefault(delivery.key, set()).add(delivery.effect)
            # A call whose answer the dead server never recorded comes again, under the same key.
            assert all(len(found) == 1 for found in effects.values())
            assert ran <= effects.keys()
            assert not {runs[at].run_id for at in missed} & effects.keys()
            last = await last_watch(client)
            assert last
            totals = last.totals
            assert totals.missed == len(missed)
            assert totals.due == sum(
                getattr(totals, name)
                for name in ("on_time", "late", "waiting", "started", "missed", "skipped")
            )
            assert (await check_watch(client, datetime.now(UTC))).ok
