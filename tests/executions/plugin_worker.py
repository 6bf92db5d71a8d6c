"""A worker for calls of plugins as a process of its own, to be killed."""

import asyncio

from shared.settings import get_settings
from shared.temporal import connect
from worker.main import shared_parts
from worker.plugins import build_plugin_worker


async def _main() -> None:
    client = await connect()
    async with shared_parts(client, get_settings()) as parts, build_plugin_worker(parts):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
