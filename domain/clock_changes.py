"""When the clock of a zone changes: the instants at which its offset from UTC does."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)

# Two changes inside one stride could cancel out and be missed; the closest pair in the zone
# database is 95 hours apart.
_STRIDE = timedelta(hours=90)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """From `at` (aware, UTC) on, the clock is `after` ahead of UTC; until then it was `before`."""

    at: datetime
    before: timedelta
    after: timedelta


def offset_at(zone: ZoneInfo, instant: datetime) -> timedelta:
    """How far the clock of `zone` is ahead of UTC at an aware instant."""
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def reading_at(zone: ZoneInfo, instant: datetime) -> datetime:
    """What the clock of `zone` reads at an aware instant, as a naive datetime."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


@lru_cache(maxsize=1024)
def clock_changes(zone: ZoneInfo, start: datetime, end: datetime) -> tuple[ClockChange, ...]:
    """The changes of the clock in (start, end], in order; both bounds aware and whole seconds."""
    found = []
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    while start < end:
        stop = min(start + _STRIDE, end)
        before, after = offset_at(zone, start), offset_at(zone, stop)
        if before != after:
            found.append(ClockChange(_first_with_other(zone, start, stop, before), before, after))
        start = stop
    return tuple(found)


def _first_with_other(
    zone: ZoneInfo, start: datetime, end: datetime, offset: timedelta
) -> datetime:
    """The first second after `start` whose offset is not `offset`; at `end` it is another."""
    while (seconds := (end - start) // _SECOND) > 1:
        middle = start + (seconds // 2) * _SECOND
        if offset_at(zone, middle) == offset:
            start = middle
        else:
            end = middle
    return end
