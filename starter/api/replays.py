"""Signed requests that were taken: the very same one does not come in again."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b

from shared.webhooks import ID, TIMESTAMP, TOLERANCE_SECONDS
from starter.callers import Unauthenticated

_KEPT_SECONDS = 2 * TOLERANCE_SECONDS
"""A timestamp may lie in the future as far as in the past: after that it is stale by itself."""
_MOST = 200_000


class Replays:
    """What one process has taken. An overheard request is worth nothing to whoever repeats it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken: OrderedDict[bytes, float] = OrderedDict()

    @contextmanager
    def once(self, headers: Mapping[str, str], body: bytes) -> Iterator[None]:
        """What is signed, by whatever signatures; they were found right before.

        When something is raised inside, the request was not taken, and may come again as it is.
        Errors: `Unauthenticated` for one that was taken, or is being taken just now.
        """
        signed = f"{headers[ID]}.{headers[TIMESTAMP]}.".encode() + body
        key = blake2b(signed, digest_size=16).digest()
        self._forget()
        if key in self._taken:
            message = "this very request was sent before: sign each attempt anew"
            raise Unauthenticated(message, "replayed_signature")
        self._taken[key] = self._clock()
        try:
            yield
        except BaseException:
            self._taken.pop(key, None)
            raise

    def _forget(self) -> None:
        """The oldest come first."""
        stale = self._clock() - _KEPT_SECONDS
        while self._taken:
            key, at = next(iter(self._taken.items()))
            if at > stale and len(self._taken) < _MOST:
                return
            del self._taken[key]
