"""What was worked out a moment ago is not worked out again for whoever asks next."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values by key, each good for `seconds`; who asks while one is worked out waits for it.

    Errors are told to those who wait and are not kept.
    """

    def __init__(
        self, seconds: float, most: int = 100, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._known: dict[Hashable, tuple[float, Value]] = {}
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    async def get(self, key: Hashable, work: Callable[[], Awaitable[Value]]) -> Value:
        """The value of `key`, as `work` makes it when there is none that is good."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            known = self._known.get(key)
            if known and self._clock() < known[0]:
                return known[1]
            value = await work()
            self._known.pop(key, None)
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[key] = (self._clock() + self._seconds, value)
            return value

    def forget(self, wanted: Callable[[Hashable], bool]) -> None:
        """These are worked out anew."""
        self._known = {key: kept for key, kept in self._known.items() if not wanted(key)}
