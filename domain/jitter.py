"""Trigger times known in advance: a task's fixed stagger, and the server's own jitter.

Neither is random. The stagger is a hash of the task; the jitter of a fire is the server's hash of
its nominal time and the schedule, computed here again.
"""

import struct
from datetime import datetime, timedelta
from hashlib import blake2b

from domain.farmhash import fingerprint32

_SECOND = timedelta(seconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_GO_UTC = -1  # what Go writes for the offset of UTC
_GO_VERSION = 1
_WORD = 32
_MOST_MILLISECONDS = 2**_WORD - 1


def stagger_offset(tenant_id: str, task_id: str, window: timedelta) -> timedelta:
    """A whole number of seconds, from 0 to below `window`, the same for a task at all times.

    Tasks are spread evenly over the window. That it ends before the next nominal time is the
    caller's to see to.
    """
    seconds = window // _SECOND
    if seconds < 1:
        return timedelta(0)
    digest = blake2b(f"{tenant_id}/{task_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * seconds // 2**64 * _SECOND


def jitter_seed(namespace_id: str, schedule_id: str) -> str:
    """What the server mixes into the jitter of a schedule; `namespace_id` is the UUID."""
    return f"{namespace_id}-{schedule_id}"


def trigger_time(
    nominal: datetime, next_nominal: datetime | None, max_jitter: timedelta, seed: str
) -> datetime:
    """When Temporal starts the run of `nominal` (UTC, whole seconds), to the millisecond.

    The jitter is below `max_jitter` and the time to `next_nominal`, the schedule's next fire as if
    it had no skips (`raw_next_fire`); None if there is none. `seed` is that of `jitter_seed`.
    """
    longest = max(max_jitter, timedelta(0))
    if next_nominal is not None:
        longest = min(longest, next_nominal - nominal)
    milliseconds = min(longest // _MILLISECOND, _MOST_MILLISECONDS)
    share = fingerprint32(_go_bytes(nominal) + seed.encode())
    jitter: timedelta = (share * milliseconds >> _WORD) * _MILLISECOND
    return nominal + jitter


def _go_bytes(instant: datetime) -> bytes:
    """A time in UTC as Go marshals it: version, seconds since the year 1, nanoseconds, offset."""
    since = instant.replace(tzinfo=None) - datetime(1, 1, 1)  # noqa: DTZ001 - both are in UTC
    seconds, rest = divmod(since, _SECOND)
    return struct.pack(">BqIh", _GO_VERSION, seconds, rest.microseconds * 1000, _GO_UTC)
