"""Where the memory of keys is kept."""

from collections import OrderedDict
from typing import Protocol

from pluginkit.keys import Memory

MAX_KEYS = 10_000
MAX_BYTES = 64 * 1024 * 1024


class StoreError(Exception):
    """The store cannot be used; the message is one line."""


class Store(Protocol):
    """Keeps what is remembered of each key. It is used from one event loop."""

    async def load(self, key: str) -> Memory | None:
        """What is known of the key; None when nothing is. Errors: `StoreError`."""

    async def save(self, key: str, memory: Memory) -> None:
        """Return when it is kept as safely as this store keeps things. Errors: `StoreError`."""

    async def close(self) -> None:
        """Give back what it holds; nothing is loaded or saved after it."""


class MemoryStore:
    """Forgets everything with the process, and the keys that were not asked for longest before.

    `max_bytes` counts results. Enough for work that may be done twice after a restart.
    """

    def __init__(self, max_keys: int = MAX_KEYS, max_bytes: int = MAX_BYTES) -> None:
        self._max_keys = max_keys
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, tuple[Memory, int]] = OrderedDict()
        self._bytes = 0

    async def load(self, key: str) -> Memory | None:
        """What is known of the key; None when nothing is, or not any more."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    async def save(self, key: str, memory: Memory) -> None:
        """Keep it for as long as there is room."""
        if key in self._kept:
            self._bytes -= self._kept.pop(key)[1]
        size = len(key) + (len(memory.answer.body()) if memory.answer else 0)
        self._kept[key] = memory, size
        self._bytes += size
        while len(self._kept) > self._max_keys or self._bytes > self._max_bytes:
            _, (_, size) = self._kept.popitem(last=False)
            self._bytes -= size

    async def close(self) -> None:
        """Nothing is held."""

    def __len__(self) -> int:
        return len(self._kept)
