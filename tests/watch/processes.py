"""Workers and servers as processes of their own, to be killed."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from domain.ids import WATCH_SCHEDULE_ID
from domain.watch import GRACE
from sandbox.client import Delivery
from shared.settings import ROOT
from shared.watch import last_watch
from starter.dev.ports import HOST, Wanted, settle
from starter.dev.server import server_command, wait_until_serving
from tests.conftest import TEMPORAL_BINARY
from tests.starter.harness import OWN, eventually_async

QUIET = dict.fromkeys(
    [f"TASKFLOW_{name}" for name in ("WATCH", "FORECAST", "CANARY", "ROLLUPS")], "false"
)
"""The environment of a worker that does nothing by the clock."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A server and workers of their own: how each is started, and where the server is."""

    address: str
    server: tuple[str, ...]
    worker: tuple[str, ...]
    environment: dict[str, str]

    async def client(self) -> Client:
        """A client of the server, once that serves."""
        await wait_until_serving(self.address)
        return await Client.connect(self.address, data_converter=pydantic_data_converter)


def setting(folder: Path, plugin_url: str, queue: str) -> Setting:
    """On a free port, with its database in a folder."""
    [port] = settle([Wanted("temporal", "", 0)])
    address = f"{HOST}:{port}"
    return Setting(
        address=address,
        server=server_command(TEMPORAL_BINARY, port=port, ui_port=None, db=folder / "t.db"),
        worker=(sys.executable, "-m", "worker"),
        environment={
            "TEMPORAL_ADDRESS": address,
            "TASKFLOW_TASK_QUEUE": queue,
            "TASKFLOW_PLUGIN_URL": plugin_url,
        },
    )


def single_effects(deliveries: Iterable[Delivery]) -> set[str]:
    """The keys that were delivered, each of which had one effect, however often it came."""
    effects: dict[str, set[int | None]] = {}
    for delivery in deliveries:
        effects.setdefault(delivery.key, set()).add(delivery.effect)
    assert all(len(found) == 1 for found in effects.values())
    return set(effects)


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
