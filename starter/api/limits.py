"""How often somebody may ask: a bucket of tokens for each, which fills with time."""

import ipaddress
import math
import time
from collections.abc import Callable, Hashable

from starter.api.problems import HttpRefusal

FAILURES_PER_MINUTE = 120
"""Wrong credentials from one address, before all that come from it wait."""
_MOST_BUCKETS = 10_000


class Buckets:
    """One bucket per key. It holds a minute's tokens and begins full: short bursts pass."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def wait(self, key: Hashable) -> float:
        """Seconds until the bucket holds a token; 0 when it does."""
        return max(0.0, (1 - self._level(key)) / self._per_second)

    def take(self, key: Hashable) -> float:
        """Take a token if there is one; otherwise the seconds until there is."""
        level = self._level(key)
        if level < 1:
            return (1 - level) / self._per_second
        if key not in self._buckets and len(self._buckets) >= _MOST_BUCKETS:
            self._forget()
        self._buckets[key] = (level - 1, self._clock())
        return 0.0

    def _level(self, key: Hashable) -> float:
        level, at = self._buckets.get(key, (self._most, 0.0))
        return min(self._most, level + (self._clock() - at) * self._per_second)

    def _forget(self) -> None:
        """Full buckets say nothing. Of others the older half goes: memory is bounded."""
        self._buckets = {
            k: kept for k, kept in self._buckets.items() if self._level(k) < self._most
        }
        for key in list(self._buckets)[: max(0, len(self._buckets) - _MOST_BUCKETS // 2)]:
            del self._buckets[key]


def too_many(wait: float, what: str) -> HttpRefusal:
    """429, with the whole seconds to wait."""
    seconds = max(1, math.ceil(wait))
    headers = {"Retry-After": str(seconds)}
    return HttpRefusal(429, "TOO_MANY_REQUESTS", f"{what}: wait {seconds} s", headers)


def network_of(address: str) -> str:
    """Who an address belongs to: itself, or the /64 of an IPv6 address, as one host has it all."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
