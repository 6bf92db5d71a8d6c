"""`python -m benchmarks.worker PORT`: one process that executes every scenario, until SIGTERM.

Metrics of Temporal's SDK are at `http://127.0.0.1:PORT/metrics`. Settings, logs and the file that
says that it is ready are those of `python -m worker`.
"""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from benchmarks.scenarios import bare, plain
from shared import log
from shared.search_attributes import register_search_attributes
from shared.settings import get_settings
from shared.temporal import connect
from starter.dev.ports import HOST
from worker.governor import build_governor_worker
from worker.main import build_worker, http_client, say_ready, shared_parts
from worker.plugins import build_plugin_worker


async def run(metrics_port: int) -> None:
    """Execute runs until a signal."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = get_settings().model_copy(update={"task_queue": plain.QUEUE})
    log.configure(settings)
    metrics = PrometheusConfig(bind_address=f"{HOST}:{metrics_port}")
    client = await connect(runtime=Runtime(telemetry=TelemetryConfig(metrics=metrics)))
    await register_search_attributes(client)
    # A client for each, as each worker of its own would have: no connection pool is shared.
    async with (
        AsyncExitStack() as workers,
        shared_parts(client, settings) as ours,
        http_client() as theirs,
    ):
        for worker in (
            build_governor_worker(client, settings, ours.capacity),
            build_worker(ours),
            build_plugin_worker(ours),
            *bare.build_workers(client, theirs, settings.plugin_url, ours.secrets),
        ):
            await workers.enter_async_context(worker)
        say_ready()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1])))
