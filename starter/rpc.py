"""Temporal's refusals as ours, and many calls at once within bounds."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from shared.errors import NotFound, TaskflowError, TemporalUnreachable
from shared.temporal import address, connect

AT_ONCE = 50
"""Calls under way at once: enough to keep a server busy, not enough to crowd out its runs."""

_UNREACHABLE = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
)

Item = TypeVar("Item")
Advance = Callable[[], None]


async def reach(patience: float) -> Client:
    """`connect`, within `patience` seconds also of a server that accepts and then says nothing.

    Errors: `TemporalUnreachable`.
    """
    try:
        async with asyncio.timeout(patience):
            return await connect(patience=patience)
    except TimeoutError:
        raise TemporalUnreachable(
            f"Temporal does not answer at {address()} (nothing for {patience:g} s). "
            "Start one with `taskflow dev`, or name yours with TEMPORAL_ADDRESS."
        ) from None


@contextlib.contextmanager
def temporal_errors(missing: str = "") -> Iterator[None]:
    """Turn RPC errors of the calls inside into `TaskflowError`.

    `missing` is the sentence for something that is not there.
    """
    try:
        yield
    except RPCError as error:
        if error.status in _UNREACHABLE:
            raise TemporalUnreachable(
                f"Temporal at {address()} stopped answering ({error.status.name.lower()}): "
                "nothing more was changed. Try again when it is back."
            ) from error
        if error.status is RPCStatusCode.NOT_FOUND and missing:
            raise NotFound(missing) from error
        raise TaskflowError(
            f"Temporal refused the request ({error.status.name.lower()}): {error.message}"
        ) from error


def is_missing(error: RPCError) -> bool:
    """Whether the thing asked for does not exist."""
    return error.status is RPCStatusCode.NOT_FOUND


async def at_once(
    items: Sequence[Item], work: Callable[[Item], Awaitable[None]], advance: Advance | None = None
) -> None:
    """Do `work` for every item, `AT_ONCE` at a time; the first error stops all and is raised."""
    waiting = iter(items)

    async def drain() -> None:
        for item in waiting:
            await work(item)
            if advance:
                advance()

    drains = [asyncio.create_task(drain()) for _ in range(min(AT_ONCE, len(items)))]
    try:
        await asyncio.gather(*drains)
    finally:
        for task in drains:
            task.cancel()
        await asyncio.gather(*drains, return_exceptions=True)
