"""The worker process: every workflow and activity of the product, until a signal ends it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpx
import structlog
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.admission import AdmissionActivities
from activities.canary import probe
from activities.capacity import CapacityActivities
from activities.debounce import DebounceActivities
from activities.durations import DurationActivities
from activities.events import EventActivities
from activities.flags import FlagActivities
from activities.plugin import PluginActivities
from shared import tracing
from shared.breakers import Breakers
from shared.builds import build_of
from shared.errors import TemporalUnreachable
from shared.governor import Governors
from shared.leave import leave_within
from shared.metrics import AdmissionMetrics, BreakerMetrics, CallMetrics, EventMetrics
from shared.plugin_secrets import PluginSecrets
from shared.policy import LivePolicy
from shared.search_attributes import register_search_attributes
from shared.secrets import Vault
from shared.settings import Settings
from shared.sinks import LiveSinks
from shared.temporal import connect
from worker.build import GRACE, new_worker
from worker.governor import build_governor_worker
from worker.metrics import Measures
from worker.plugins import POLLERS, build_plugin_worker
from worker.recovery import build_recovery_worker, notice_activities
from worker.watch import build_watch_worker, keep_scheduled
from workflows.canary import Canary
from workflows.task_run import TaskRun

log = structlog.get_logger(__name__)

RECONNECT_SECONDS = 3.0
ENDS_WITHIN = GRACE + timedelta(seconds=15)
"""After that a worker that was told to end leaves: a Temporal that hangs kept one for two minutes.
What is open then is called again under its key, as when a worker is lost."""


@cache
def admission_metrics() -> AdmissionMetrics:
    """Those of this process: a name can be registered once."""
    return AdmissionMetrics()


@cache
def event_metrics() -> EventMetrics:
    """The same for state changes that are told."""
    return EventMetrics()


@cache
def breaker_metrics() -> BreakerMetrics:
    """The same for breakers."""
    return BreakerMetrics()


@dataclass(frozen=True, slots=True)
class Parts:
    """What the workers of one process share."""

    client: Client
    settings: Settings
    http: httpx.AsyncClient
    governors: Governors
    capacity: CapacityActivities
    breakers: Breakers
    policy: LivePolicy
    plugins: PluginActivities
    events: EventActivities
    secrets: PluginSecrets


@contextlib.asynccontextmanager
async def shared_parts(client: Client, settings: Settings) -> AsyncIterator[Parts]:
    """Make them, hold them, close them."""
    governors = Governors(client, settings.task_queue)
    breakers = Breakers(client, settings.task_queue, metrics=breaker_metrics())
    policy = LivePolicy(settings.policy_file, settings.flag_overrides())
    secrets = PluginSecrets(settings.plugin_secret_file)
    try:
        async with http_client() as http, http_client() as sinks_http:
            capacity = CapacityActivities(http, settings.capacity_url, settings.capacity_timeout)
            events = EventActivities(
                client,
                sinks_http,
                LiveSinks(settings.sinks_file),
                event_metrics(),
                task_queue=settings.task_queue,
            )
            plugins = PluginActivities(
                http,
                settings.plugin_url,
                policy.of,
                publish=events.publish,
                breakers=breakers,
                secrets=secrets,
                vault=Vault.of(settings),
                open_call=CallMetrics().open,
            )
            try:
                yield Parts(
                    client,
                    settings,
                    http,
                    governors,
                    capacity,
                    breakers,
                    policy,
                    plugins,
                    events,
                    secrets,
                )
            finally:
                await events.close()
    finally:
        await breakers.close()
        await governors.close()


def build_worker(parts: Parts) -> Worker:
    """Wire runs and their calls of plugins to a task queue.

    What else they have done is local, or made by the worker of `worker.plugins`: a slot here is
    for a call. Capacity and the rest are here for runs that older workers asked it for.
    """
    settings = parts.settings
    admission = AdmissionActivities(
        parts.governors,
        parts.policy.degraded_of,
        admission_metrics(),
        capacity=settings.capacity_url is not None,
        listens=parts.events.listens,
    )
    return new_worker(
        parts.client,
        task_queue=settings.task_queue,
        workflows=[TaskRun, Canary],
        activities=[
            parts.plugins.execute_plugin,
            probe,
            admission.ask_governor,
            admission.release_grant,
            parts.capacity.reserve_capacity,
            parts.capacity.release_capacity,
            notice_activities(parts).raise_notices,
            parts.events.publish_changes,
            DurationActivities(parts.client).expect_duration,
            FlagActivities(parts.policy.of).read_flags,
            DebounceActivities(parts.client, settings.task_queue).debounce_event,
        ],
        pollers=POLLERS,
        build=build_of(settings),
        pinned=True,
    )


def http_client() -> httpx.AsyncClient:
    """The client of all plugin calls; it follows no redirect, and activities set the deadlines.

    It takes no cookies: what a plugin sets for one tenant it would get with the calls of all.
    """
    return httpx.AsyncClient(
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(None, connect=10.0),
        # Slots bound the calls; a bound here would let slow plugins hold up all other services.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
        follow_redirects=False,
        trust_env=False,
    )


async def run_worker(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; waits for Temporal for as long as it takes."""
    unsay_ready()  # in a container that was started anew the file of the last process is there
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        leave_within(ENDS_WITHIN.total_seconds(), 0, _before_leaving)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    measures = Measures(settings)
    client = await _connect(settings, stop, measures.runtime)
    if client is None:
        return
    async with (
        shared_parts(client, settings) as parts,
        build_governor_worker(client, settings, parts.capacity),
        build_recovery_worker(parts),
        build_worker(parts),
        build_plugin_worker(parts),
        _watching(client, settings),
        measures.kept(client),
    ):
        log.info("worker ready", action="worker_ready", task_queue=settings.task_queue)
        say_ready()
        await stop.wait()
        unsay_ready()
        log.info("worker stopping", action="worker_stopping")


def _before_leaving() -> None:
    seconds = ENDS_WITHIN.total_seconds()
    log.warning("Temporal does not let this worker go", action="worker_left", seconds=seconds)
    tracing.close()


@contextlib.asynccontextmanager
async def _watching(client: Client, settings: Settings) -> AsyncIterator[None]:
    """Registries are looked after always; the watch and the forecast can be turned off."""
    async with build_watch_worker(client, settings):
        keeping = asyncio.create_task(keep_scheduled(client, settings))
        try:
            yield
        finally:
            keeping.cancel()


def say_ready() -> None:
    """Whoever started this process may wait for a file to appear."""
    if ready_file := os.environ.get("TASKFLOW_READY_FILE"):
        Path(ready_file).touch()


def unsay_ready() -> None:
    """Not ready yet, or not any more: the file is taken away."""
    if ready_file := os.environ.get("TASKFLOW_READY_FILE"):
        Path(ready_file).unlink(missing_ok=True)


async def _connect(
    settings: Settings, stop: asyncio.Event, runtime: Runtime | None
) -> Client | None:
    """A client whose namespace has our search attributes; None when told to stop first."""
    while not stop.is_set():
        try:
            client = await connect(patience=settings.temporal_timeout, runtime=runtime)
            await register_search_attributes(client)
        except (TemporalUnreachable, RPCError) as error:
            log.warning("waiting for Temporal", action="temporal_unreachable", reason=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RECONNECT_SECONDS)
        else:
            return client
    return None
