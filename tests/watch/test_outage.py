"""The server killed for longer than the catch-up window: every fire is accounted for, once."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from domain.document import Document
from domain.ids import WATCH_SCHEDULE_ID
from domain.policy import Policy
from domain.registration import read_registration
from domain.states import RunState
from domain.triggers import task_times
from domain.watch import GRACE
from sandbox.client import SandboxClient
from shared.settings import ROOT
from shared.watch import last_watch
from starter.dev.ports import HOST, Wanted, settle
from starter.dev.server import server_command, wait_until_serving
from starter.doctor import check_watch
from starter.registry import carry_out, make_plan
from starter.runs import RunView, list_runs
from tests.conftest import TEMPORAL_BINARY
from tests.starter.harness import OWN, eventually_async

QUEUE = "outage"
DOWN = timedelta(seconds=32)


@contextmanager
def process(log: Path, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a session of its own, gone at the end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**clean, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait(10)


async def looked(client: Client, until: datetime) -> None:
    """Have the watch look until it has judged everything up to an instant."""

    async def far_enough() -> bool:
        last = await last_watch(client)
        return last is not None and last.watermark >= until

    old_enough = until + GRACE + timedelta(seconds=1) - datetime.now(UTC)
    await asyncio.sleep(max(0.0, old_enough.total_seconds()))
    await client.get_schedule_handle(WATCH_SCHEDULE_ID).trigger()
    await eventually_async(far_enough, within=60)


async def test_every_fire_of_an_outage_runs_once_or_is_shown_as_missed(
    policy: Policy, plugin: SandboxClient, plugin_url: str, tmp_path: Path
) -> None:
    """Before, during and after: no nominal time is without a run, and none has two effects."""
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
            # A call that the kill cut off comes again, under its key: the effect is what is single.
            deliveries = await plugin.deliveries()
            effects = [delivery.key for delivery in deliveries if delivery.effect is not None]
            assert len(effects) == len(set(effects))
            assert ran <= set(effects)
            assert not {runs[at].run_id for at in missed} & {d.key for d in deliveries}
            last = await last_watch(client)
            assert last
            totals = last.totals
            assert totals.missed == len(missed)
            assert totals.due == sum(
                getattr(totals, name)
                for name in ("on_time", "late", "waiting", "started", "missed", "skipped")
            )
            assert (await check_watch(client, datetime.now(UTC))).ok
