"""One owner at a time for a database or a folder."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from shared.errors import Refused, TaskflowError

PATIENCE = 1.0


@asynccontextmanager
async def owned(lock: Path, what: str) -> AsyncIterator[int]:
    """Hold the lock file; its descriptor, for children that must hold it as long as they live.

    The kernel drops it with its last holder, so one left by a kill -9 stands in nobody's way; the
    patience is for the children of such a supervisor, which need a moment to die.
    Errors: `Refused` that names `what` when another process holds it, `TaskflowError` when the file
    cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise TaskflowError(f"{lock} cannot be written: {error.strerror}.") from error
    try:
        await _acquire(descriptor, what)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        # The file stays: removing it would let two owners lock two files of the same name.
        os.close(descriptor)


async def _acquire(descriptor: int, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.05)
                continue
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise Refused(
                f"{what} is in use by another taskflow dev (pid {holder}). "
                "End that one, or give this one a database of its own with --db."
            ) from None
        return
