"""The worker process: every workflow and activity of the product, until a signal ends it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import structlog
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.plugin import PluginActivities
from shared.errors import TemporalUnreachable
from shared.policy import PolicyFlags
from shared.search_attributes import register_search_attributes
from shared.settings import Settings
from shared.temporal import connect
from workflows.task_run import TaskRun

log = structlog.get_logger(__name__)

GRACE = timedelta(seconds=20)
"""How long calls that are open at SIGTERM may take; after that they are cancelled and retried."""
MAX_CALLS = 500
"""Plugin calls open at once: they wait on sockets, so memory is the limit and not cores."""
RECONNECT_SECONDS = 3.0


def build_worker(client: Client, settings: Settings, http: httpx.AsyncClient) -> Worker:
    """Wire the workflows and activities to a task queue."""
    flags = PolicyFlags(settings.policy_file, settings.flag_overrides())
    plugins = PluginActivities(http, settings.plugin_url, flags.of)
    return new_worker(
        client,
        task_queue=settings.task_queue,
        workflows=[TaskRun],
        activities=[plugins.execute_plugin],
    )


def new_worker(
    client: Client,
    *,
    task_queue: str,
    workflows: Sequence[type],
    activities: Sequence[Callable[..., Any]],
    pure: Sequence[str] = (),
) -> Worker:
    """A worker with the options that all of ours have; `pure` as in `sandboxed_runner`."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=workflows,
        activities=activities,
        workflow_runner=sandboxed_runner(*pure),
        max_concurrent_activities=MAX_CALLS,
        graceful_shutdown_timeout=GRACE,
    )


def sandboxed_runner(*pure: str) -> SandboxedWorkflowRunner:
    """Temporal's workflow sandbox; our modules and those of `pure` are loaded once for all runs."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(
            "domain", "workflows", "yaml", "pydantic", *pure
        )
    )


def http_client() -> httpx.AsyncClient:
    """The client of all plugin calls; it follows no redirect, and activities set the deadlines."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(None, connect=10.0),
        limits=httpx.Limits(max_connections=MAX_CALLS, max_keepalive_connections=100),
        follow_redirects=False,
        trust_env=False,
    )


async def run_worker(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; waits for Temporal for as long as it takes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = await _connect(settings, stop)
    if client is None:
        return
    async with http_client() as http, build_worker(client, settings, http):
        log.info("worker ready", action="worker_ready", task_queue=settings.task_queue)
        say_ready()
        await stop.wait()
        log.info("worker stopping", action="worker_stopping")


def say_ready() -> None:
    """Whoever started this process may wait for a file to appear."""
    if ready_file := os.environ.get("TASKFLOW_READY_FILE"):
        Path(ready_file).touch()


async def _connect(settings: Settings, stop: asyncio.Event) -> Client | None:
    """A client whose namespace has our search attributes; None when told to stop first."""
    while not stop.is_set():
        try:
            client = await connect(patience=settings.temporal_timeout)
            await register_search_attributes(client)
        except (TemporalUnreachable, RPCError) as error:
            log.warning("waiting for Temporal", action="temporal_unreachable", reason=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RECONNECT_SECONDS)
        else:
            return client
    return None
