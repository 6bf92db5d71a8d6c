"""Wiring: settings, signals, metrics and Temporal become one process."""

import asyncio
import signal
from functools import partial

import structlog

from domain.events_in import CloudEvent
from shared.errors import TemporalUnreachable
from shared.metrics import EventIntakeMetrics, serve_metrics
from shared.sdk_metrics import measured_runtime
from shared.settings import Settings
from starter.api.link import TemporalLink
from starter.events import Received, receive
from starter.nats.consumer import Take
from starter.nats.metrics import NatsMetrics
from starter.nats.process import NatsProcess
from starter.rpc import reach
from starter.rules import Clients, Rules

log = structlog.get_logger(__name__)


def run(settings: Settings, *, create_stream: bool, metrics_port: int | None) -> None:
    """Consume until SIGTERM or SIGINT; waits for NATS and Temporal for as long as it takes.

    Errors: `Refused` for a stream or consumer that does not fit.
    """
    asyncio.run(_run(settings, create_stream=create_stream, metrics_port=metrics_port))


async def _run(settings: Settings, *, create_stream: bool, metrics_port: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if metrics_port:
        try:
            serve_metrics(metrics_port, settings.metrics_address)
        except OSError as error:  # they never keep a process from working
            log.error("no metrics", action="metrics_failed", reason=str(error))  # noqa: TRY400
    runtime = measured_runtime() if metrics_port else None
    link = TemporalLink(settings.temporal_timeout, partial(reach, runtime=runtime))
    rules = Rules(link.client, settings.task_queue, EventIntakeMetrics())
    try:
        async with rules.live():
            await NatsProcess(
                settings, taking(link.client, rules), NatsMetrics(), create_stream=create_stream
            ).run(stop)
            log.info("stopped", action="nats_stopped")
    finally:
        await link.close()


def taking(clients: Clients, rules: Rules) -> Take:
    """Takes events by the rules of this process."""

    async def take(tenant_id: str, event: CloudEvent) -> Received:
        async with clients() as client:
            [found] = await receive(client, rules, tenant_id, [event])
        if not found.runs and (stale := rules.stale()):
            # Acknowledged, an event is gone: that nobody wants it must be known, not remembered.
            raise TemporalUnreachable(f"whether a task wants the event is not known: {stale}")
        return found

    return take
