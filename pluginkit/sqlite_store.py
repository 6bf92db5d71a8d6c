"""The memory of keys in a file, so that a restart forgets nothing."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from pluginkit.answers import Answer
from pluginkit.keys import Memory
from pluginkit.stores import StoreError

KEEP_SECONDS = 30 * 24 * 3600.0
"""A key that was not heard of for so long is forgotten: runs are not retried for a month."""
_PRUNE_EVERY = 1000

_TABLE = """
CREATE TABLE IF NOT EXISTS executions
    (key TEXT PRIMARY KEY, fence INTEGER NOT NULL, answer TEXT, heard REAL NOT NULL) WITHOUT ROWID
"""
_HEARD = "CREATE INDEX IF NOT EXISTS executions_heard ON executions (heard)"

Found = TypeVar("Found")


class SqliteStore:
    """What is saved is on disk. One process at a time may have the file.

    After `close` it opens the file anew when it is used again.
    """

    def __init__(self, path: Path | str, keep_seconds: float = KEEP_SECONDS) -> None:
        """Opens or creates the file. Errors: `StoreError`, also when another process has it."""
        self._path = Path(path)
        self._keep = keep_seconds
        self._saves = 0
        # SQLite blocks while it syncs; one thread, so that saves keep their order.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pluginkit-store")
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = self._thread.submit(self._open).result()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: {error}") from error

    async def load(self, key: str) -> Memory | None:
        """What is known of the key; None when nothing is. Errors: `StoreError`."""
        return await self._do(lambda: self._load(key))

    async def save(self, key: str, memory: Memory) -> None:
        """Return when it is on disk. Errors: `StoreError`."""
        await self._do(lambda: self._save(key, memory))

    async def close(self) -> None:
        """Close the file."""
        await self._do(self._close)

    async def _do(self, work: Callable[[], Found]) -> Found:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=1, isolation_level=None)
        try:
            # Two processes would both do the work of one key: each knows only of its own.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute(_TABLE)
            connection.execute(_HEARD)
            connection.execute("COMMIT")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _load(self, key: str) -> Memory | None:
        asked = "SELECT fence, answer FROM executions WHERE key = ?"
        row = self._opened().execute(asked, (key,)).fetchone()
        if row is None:
            return None
        fence, answer = row
        return Memory(fence, Answer(**json.loads(answer)) if answer else None)

    def _save(self, key: str, memory: Memory) -> None:
        answer = memory.answer.body().decode() if memory.answer else None
        connection = self._opened()
        connection.execute(
            "INSERT INTO executions VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE"
            " SET fence = excluded.fence, answer = excluded.answer, heard = excluded.heard",
            (key, memory.fence, answer, time.time()),
        )
        if self._saves % _PRUNE_EVERY == 0:
            before = time.time() - self._keep
            connection.execute("DELETE FROM executions WHERE heard < ?", (before,))
        self._saves += 1
