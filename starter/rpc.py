"""Reaching Temporal, and its refusals as ours."""

import asyncio
import contextlib
from collections.abc import Iterator

from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from shared.errors import NotFound, TaskflowError, TemporalUnreachable
from shared.temporal import address, connect

_UNREACHABLE = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
)


async def reach(patience: float, *, runtime: Runtime | None = None) -> Client:
    """`connect`, within `patience` seconds also of a server that accepts and then says nothing.

    Errors: `TemporalUnreachable`.
    """
    try:
        async with asyncio.timeout(patience):
            return await connect(patience=patience, runtime=runtime)
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
        if _is_unreachable(error):
            raise TemporalUnreachable(
                f"Temporal at {address()} stopped answering ({error.status.name.lower()}): "
                "nothing more was changed. Try again when it is back."
            ) from error
        if error.status is RPCStatusCode.NOT_FOUND and missing:
            raise NotFound(missing) from error
        raise TaskflowError(
            f"Temporal refused the request ({error.status.name.lower()}): {error.message}"
        ) from error


def _is_unreachable(error: RPCError) -> bool:
    """A connection that breaks under a call has no status of its own."""
    broken = error.status is RPCStatusCode.UNKNOWN and "transport error" in error.message
    return broken or error.status in _UNREACHABLE
