"""`python -m benchmarks.stress.bare_worker`: executes bare runs and nothing else, until SIGTERM."""

import asyncio
import signal
from contextlib import AsyncExitStack

from benchmarks.scenarios import bare
from shared import log
from shared.plugin_secrets import PluginSecrets
from shared.settings import get_settings
from shared.temporal import connect
from worker.main import http_client, say_ready


async def run() -> None:
    """Execute until a signal."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = get_settings()
    log.configure(settings)
    client = await connect()
    async with AsyncExitStack() as workers, http_client() as http:
        secrets = PluginSecrets(settings.plugin_secret_file)
        for worker in bare.build_workers(client, http, settings.plugin_url, secrets):
            await workers.enter_async_context(worker)
        say_ready()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run())
