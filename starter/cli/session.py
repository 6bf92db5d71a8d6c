"""One connection to Temporal for one command: reach it, work, and notice when it goes away."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode

from shared import log
from shared.settings import get_settings
from starter.rpc import reach, temporal_errors

PULSE_SECONDS = 1.0
"""How often a working command asks whether Temporal is there still."""

MISSED_PULSES = 3
"""A server that restarts may refuse two in a row; one that answers late is not asked again."""

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's coroutine, with nothing but the command's own words on standard output."""
    log.configure(get_settings())  # structlog, left alone, writes to standard output
    # So does Temporal's core when a call has to be repeated.
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    return asyncio.run(work)


def with_temporal(work: Callable[[Client], Awaitable[Result]]) -> Result:
    """Connect, and run `work` with the client.

    Errors: `TemporalUnreachable` when Temporal cannot be reached or falls silent, each within the
    seconds of `TASKFLOW_TEMPORAL_TIMEOUT`; and those of `work`.
    """
    return run(_guarded(work, get_settings().temporal_timeout))


async def _guarded(work: Callable[[Client], Awaitable[Result]], patience: float) -> Result:
    client = await reach(patience)
    job = asyncio.ensure_future(work(client))
    pulse = asyncio.create_task(_pulse(client, patience))
    try:
        await asyncio.wait({job, pulse}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            await pulse  # it ends with an error only
        return await job
    finally:
        for task in (job, pulse):
            task.cancel()
        await asyncio.gather(job, pulse, return_exceptions=True)


async def _pulse(client: Client, patience: float) -> None:
    """Raise when the server does not answer; a call of its own would wait 30 s for a frozen one."""
    missed = 0
    while True:
        await asyncio.sleep(PULSE_SECONDS)
        try:
            await client.workflow_service.get_system_info(
                GetSystemInfoRequest(), timeout=timedelta(seconds=patience)
            )
            missed = 0
        except RPCError as error:
            missed += 1
            if missed == MISSED_PULSES or error.status is not RPCStatusCode.UNAVAILABLE:
                with temporal_errors():
                    raise
