"""One connection to Temporal for one command: reach it, work, and notice when it goes away."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig

from shared import log
from shared.settings import get_settings
from starter.pulse import while_alive
from starter.rpc import reach

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's coroutine, with nothing but the command's own words on standard output."""
    # structlog, left alone, writes to standard output; a command tells itself what it does.
    log.configure(get_settings(), quiet=True)
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
    return await while_alive(client, work(client), patience)
