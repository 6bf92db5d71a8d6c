"""Workers and servers as processes of their own, to be killed."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.client import Client

from domain.ids import WATCH_SCHEDULE_ID
from domain.watch import GRACE
from shared.settings import ROOT
from shared.watch import last_watch
from tests.starter.harness import OWN, eventually_async


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
