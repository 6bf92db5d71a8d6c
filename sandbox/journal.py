"""The log on disk: JSON lines, appended by one writer, synced in groups.

Lines queue while a write is under way; the next write takes all of them and syncs once. So a
delivery waits for at most two syncs, and a thousand deliveries at once cost two as well.
"""

import asyncio
import contextlib
import fcntl
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self


class JournalError(Exception):
    """The log cannot be opened or written; the message is one line."""


class Journal:
    """An append-only file of lines. `open`, then use from one event loop, then `close`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._drain: asyncio.Task[None] | None = None
        self._failure: OSError | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    @classmethod
    def open(cls, path: Path) -> tuple[Self, list[bytes]]:
        """Open or create the log; returns it with the whole lines that it already has.

        A torn last line, left by a kill, is cut off: a line appended to it would be lost too.
        Raises JournalError, also when another process has the log open.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"{path}: another sandbox writes this log") from error
        try:
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                os.ftruncate(descriptor, whole)
            os.fsync(descriptor)
            _sync_folder(path.parent)
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"{path}: {error.strerror}") from error
        return cls(path, descriptor), content[:whole].splitlines()

    def append(self, line: bytes) -> None:
        """Queue one line (without its newline); it is written soon, in order."""
        if self._failure is not None:
            raise JournalError(f"{self.path}: {self._failure.strerror}") from self._failure
        self._lines.append(line)
        if self._drain is None:
            self._drain = asyncio.get_running_loop().create_task(self._write_all())

    async def commit(self, line: bytes) -> None:
        """Queue one line and return when it, and all before it, are on disk."""
        self.append(line)
        synced = asyncio.get_running_loop().create_future()
        self._waiters.append(synced)
        await synced

    async def close(self) -> None:
        """Write what is queued and close the file."""
        if self._drain is not None:
            await self._drain
        self._writer.shutdown()
        os.close(self._descriptor)

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._lines:
            lines, self._lines = self._lines, []
            waiters, self._waiters = self._waiters, []
            try:
                await loop.run_in_executor(self._writer, self._write, b"\n".join(lines) + b"\n")
            except OSError as error:
                # A log with a hole proves nothing: from here on every delivery is refused.
                self._fail(error, waiters)
                break
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        self._drain = None

    def _fail(self, error: OSError, waiters: list[asyncio.Future[None]]) -> None:
        self._failure = error
        message = f"{self.path}: {error.strerror}"
        sys.stderr.write(f"sandbox: cannot write the log: {message}\n")
        for waiter in [*waiters, *self._waiters]:
            if not waiter.done():
                waiter.set_exception(JournalError(message))
        self._lines.clear()
        self._waiters.clear()

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        os.fsync(self._descriptor)


def _sync_folder(folder: Path) -> None:
    """A new file is only sure to be there after a power cut when its folder is synced too."""
    with contextlib.suppress(OSError):  # some file systems do not sync folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
