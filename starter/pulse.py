"""Noticing that Temporal goes away in the middle of long work."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from starter.rpc import temporal_errors

PULSE_SECONDS = 1.0
"""How often working code asks whether Temporal is there still."""

MISSED_PULSES = 3
"""A server that restarts may refuse two in a row; one that answers late is not asked again."""

Result = TypeVar("Result")


async def while_alive(client: Client, work: Awaitable[Result], patience: float) -> Result:
    """What `work` comes to, however long it takes.

    Errors: its own, and `TemporalUnreachable` when Temporal does not answer within `patience`
    seconds; the work is then given up.
    """
    job = asyncio.ensure_future(work)
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
