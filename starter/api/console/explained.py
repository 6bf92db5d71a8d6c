"""Why something is so, for pages that are of use without it."""

from collections.abc import Awaitable

from temporalio.client import Client

from domain.triggers import zone_of
from shared.errors import NotFound, NoWorker, Refused
from starter.answer import Why
from starter.control import describe_task

Explained = Why | str | None
"""An answer, or in words why there is none; None where nothing was asked."""


async def told(asked: Awaitable[Why] | None) -> Explained:
    """Errors: `TemporalUnreachable`; what else keeps it from being told is said instead."""
    if asked is None:
        return None
    try:
        return await asked
    except (NotFound, NoWorker, Refused) as error:
        return str(error)


async def zone_in(client: Client, tenant_id: str, task_id: str) -> str:
    """The zone that a task's times are shown in; UTC for one that is registered no more."""
    try:
        _, task = await describe_task(client, tenant_id, task_id)
    except (NotFound, Refused):
        return "UTC"
    return zone_of(task)
