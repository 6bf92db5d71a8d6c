"""A worker's metrics: the page that has them, what Temporal's SDK adds, what is looked up.

Nothing here keeps a worker from working, or a run waiting.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from temporalio.client import Client
from temporalio.runtime import Runtime

from shared import metric_names as names
from shared.builds import build_of
from shared.metric_instruments import instruments_of
from shared.metrics import RunMetrics, serve_metrics
from shared.sdk_metrics import measured_runtime
from shared.settings import Settings
from worker.looks import Looks

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 30.0
"""A port that is taken may be free by then."""


class Measures:
    """Of one process. Without a port nothing is measured, for nobody could read it.

    `runtime` is what clients are to be made with, None for Temporal's default one.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry = REGISTRY) -> None:
        self._settings = settings
        self._registry = registry
        self._served = settings.metrics_port is None
        self.runtime: Runtime | None = None
        if settings.metrics_port is None:
            return
        self.runtime = measured_runtime(registry)
        RunMetrics(registry)
        build = build_of(settings)
        said = (build.version, build.deployment or "", build.build_id)
        instruments_of(registry).of(names.WORKER_INFO).set(1, *said)
        self._serve()

    @contextlib.asynccontextmanager
    async def kept(self, client: Client) -> AsyncIterator[None]:
        """While the worker works."""
        if self._settings.metrics_port is None:
            yield
            return
        looks = Looks(client, self._settings, self._registry)
        tasks = [asyncio.create_task(work) for work in (looks.keep_looking(), self._keep_serving())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _keep_serving(self) -> None:
        while not self._served:
            await asyncio.sleep(AGAIN_SECONDS)
            self._serve()

    def _serve(self) -> None:
        port, address = self._settings.metrics_port, self._settings.metrics_address
        try:
            serve_metrics(port or 0, address, self._registry)
        except OSError as error:
            reason = f"{address} port {port}: {error.strerror or error}"
            log.error("no metrics", action="metrics_failed", reason=reason)  # noqa: TRY400 - a line
        else:
            self._served = True
