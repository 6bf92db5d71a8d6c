"""Metrics of Temporal's SDK, and of workflow code, brought to the registry of this process.

The SDK puts every update into a buffer, and never waits for anybody. A thread empties it each
second, and so does whoever asks for the metrics.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    MetricBuffer,
    MetricBufferDurationFormat,
    Runtime,
    TelemetryConfig,
)

from shared import metric_names as names
from shared.metric_instruments import instruments_of, quiet
from shared.metrics import touch_run
from shared.sdk_series import Series

log = structlog.get_logger(__name__)

BUFFER = 200_000
"""Updates. A plain run makes 60: a thread that does not come for half a minute loses none."""
EVERY_SECONDS = 1.0
_BY_NAME = {metric.name: metric for metric in names.METRICS if metric.source == "worker"}
_CORE = "temporalio.core"
"""The logger to which the SDK's core hands its lines."""
_FULL = "metrics buffer is full"


class SdkMetrics(Collector):
    """One for a process. `runtime` is what its clients are to be made with."""

    def __init__(self, registry: CollectorRegistry = REGISTRY, *, size: int = BUFFER) -> None:
        self._instruments = instruments_of(registry)
        self._lost = self._instruments.of(names.METRICS_LOST)
        for reason in ("buffer_full", "unreadable"):
            self._lost.touch(reason)
        self._series = Series()
        self._known: set[tuple[str, str]] = set()
        self._buffer = MetricBuffer(size, MetricBufferDurationFormat.SECONDS)
        self._draining = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        logger = logging.getLogger(_CORE)
        logger.addFilter(self._is_news)
        self.runtime = Runtime(
            telemetry=TelemetryConfig(
                metrics=self._buffer,
                logging=LoggingConfig(
                    filter=LoggingConfig.default.filter,
                    forwarding=LogForwardingConfig(logger, append_target_to_name=False),
                ),
                attach_service_name=False,
            )
        )
        registry.register(self)

    def start(self) -> None:
        """Empty the buffer from now on."""
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Empty it no more, and leave the lines of the SDK's core to others."""
        logging.getLogger(_CORE).removeFilter(self._is_news)
        self._stop.set()
        if self._thread:
            self._thread.join()

    def drain(self) -> None:
        """Empty it once; what goes wrong is counted."""
        with self._draining:
            try:
                updates = self._buffer.retrieve_updates()
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 - a panic of the SDK's core is no Exception
                # The announcement of a metric was lost with a full buffer: so is this batch.
                self._lost.add("unreadable")
                log.warning("lost metrics", action="metrics_unreadable", reason=str(error)[:200])
                return
            for update in updates:
                self._take(update)

    def collect(self) -> Iterator[Family]:
        """What the SDK counted. Ours are in the registry themselves."""
        self.drain()
        with self._draining:
            yield from self._series.families()

    def describe(self) -> Iterable[Family]:
        """Unknown in advance: what the registry asks for instead of collecting."""
        return ()

    @quiet
    def _take(self, update: Any) -> None:
        metric = update.metric
        ours = _BY_NAME.get(metric.name)
        if ours is None:
            self._series.take(
                metric.name, metric.kind, metric.unit, update.value, update.attributes
            )
            return
        given = update.attributes
        labels = tuple(str(given.get(label, "")) for label in ours.labels)
        instrument = self._instruments.of(ours)
        match ours.kind:
            case "counter":
                if ours is names.ENDED:
                    self._know(labels[0], labels[1])
                instrument.add(*labels, amount=update.value)
            case "histogram":
                instrument.observe(update.value, *labels)
            case "gauge":
                instrument.set(update.value, *labels)

    def _know(self, tenant_id: str, plugin_id: str) -> None:
        """Have what was not counted yet of a tenant's runs of a plugin be there at zero."""
        pair = (tenant_id, plugin_id)
        if pair not in self._known and len(self._known) < names.MOST_SERIES:
            self._known.add(pair)
            touch_run(self._instruments, *pair)

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            self.drain()

    def _is_news(self, record: logging.LogRecord) -> bool:
        """Whether to log a line of the SDK's core: it has one for each update that it loses."""
        if _FULL not in record.getMessage():
            return True
        self._lost.add("buffer_full")
        return False


def measured_runtime(registry: CollectorRegistry = REGISTRY) -> Runtime | None:
    """What the clients of this process are to be made with; None, the default one, if it fails."""
    try:
        metrics = SdkMetrics(registry)
        metrics.start()
    except Exception as error:  # noqa: BLE001 - whatever it is, Temporal works without
        reason = repr(error)[:200]
        log.error("no metrics", action="metrics_failed", reason=reason)  # noqa: TRY400 - a line
        return None
    return metrics.runtime
