"""When a trigger fires: lazy, ordered streams of instants in UTC.

Cron follows crontab(5) through clock changes. A fixed time (neither minute nor hour begins with
`*`) fires when the local clock first reaches or jumps over it: inside the spring gap that is the
first instant after the gap, and of a repeated hour it is the first pass. Every other expression
fires whenever the clock reads it: never inside the gap, on every pass of a repeat.
"""

import heapq
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from zoneinfo import ZoneInfo

from domain.cron import CronExpression

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)

# Streams end where arithmetic on datetimes still cannot overflow.
_FIRST = datetime(1, 1, 10, tzinfo=UTC)
_LAST = datetime(9999, 12, 20, tzinfo=UTC)

# Changes of offset are found by comparing both ends of a stride. Two changes inside one stride
# could cancel out and be missed; the closest pair in the zone database is 95 hours apart.
_STRIDE = timedelta(hours=90)

# More than any jump of a clock (24 hours) plus any offset (16 hours).
_MARGIN = timedelta(days=2)


def cron_times(
    cron: CronExpression, zone: ZoneInfo, *, after: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """The instants (aware, UTC) at which `cron` fires in `zone`, in order, without duplicates.

    All are later than `after` and none is later than `until`; without `until` the stream ends with
    the year 9999. Raises ValueError if a bound is naive.
    """
    lower, upper = _bounds(after, until)
    return _cron_times(cron, zone, lower, upper)


def interval_times(
    every: timedelta, offset: timedelta, *, after: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """The instants t (aware, UTC) with (t - epoch - offset) % every == 0, as Temporal counts.

    Bounds and errors as in `cron_times`; also raises ValueError if `every` is not positive.
    """
    if every <= timedelta(0):
        raise ValueError(f"an interval must be positive, not {every}")
    lower, upper = _bounds(after, until)
    return _interval_times(every, offset, lower, upper)


def merge_times(*streams: Iterator[datetime]) -> Iterator[datetime]:
    """The union of ordered streams: ordered, each instant once."""
    return (instant for instant, _ in groupby(heapq.merge(*streams)))


def _bounds(after: datetime, until: datetime | None) -> tuple[datetime, datetime]:
    if after.tzinfo is None or (until is not None and until.tzinfo is None):
        raise ValueError("times need a zone: a naive datetime names no instant")
    lower = min(max(after, _FIRST), _LAST).astimezone(UTC)
    upper = _LAST if until is None else min(max(until, _FIRST), _LAST).astimezone(UTC)
    return lower, upper


def _interval_times(
    every: timedelta, offset: timedelta, after: datetime, until: datetime
) -> Iterator[datetime]:
    anchor = offset % every
    count = (after - _EPOCH - anchor) // every + 1
    while (since_epoch := anchor + count * every) <= until - _EPOCH:
        yield _EPOCH + since_epoch
        count += 1


def _cron_times(
    cron: CronExpression, zone: ZoneInfo, after: datetime, until: datetime
) -> Iterator[datetime]:
    last = after
    stride_start = (after - _MARGIN).replace(microsecond=0)  # early: to know what was repeated
    reached: datetime | None = None  # the furthest reading that the clock ever had
    while stride_start <= until:
        day = _next_day(cron, stride_start - _MARGIN, until + _MARGIN)
        if day is None or day - _MARGIN > until:
            return
        if day - _MARGIN > stride_start:
            stride_start, reached = day - _MARGIN, None
        stride_end = stride_start + _STRIDE
        for start, end, offset in _constant_offsets(zone, stride_start, stride_end):
            opens, closes = start + offset, end + offset
            if cron.is_fixed_time:
                reached = reached or opens
                if (
                    reached < opens
                    and last < start <= until
                    and any(_readings(cron, reached, opens))
                ):
                    last = start  # the clock jumped: what it jumped over comes now, once
                    yield start
                opens, reached = max(opens, reached), max(closes, reached)
            for reading in _readings(cron, max(opens, last + offset), closes):
                instant = reading - offset
                if instant > until:
                    return
                if instant > last:
                    last = instant
                    yield instant
        stride_start = stride_end


def _constant_offsets(
    zone: ZoneInfo, start: datetime, end: datetime
) -> list[tuple[datetime, datetime, timedelta]]:
    """[start, end) cut where the offset from UTC changes: (start, end, offset) of each piece."""
    pieces = []
    offset, final = _offset(zone, start), _offset(zone, end)
    while offset != final:
        before, change = start, end
        while (seconds := (change - before) // _SECOND) > 1:
            middle = before + (seconds // 2) * _SECOND
            if _offset(zone, middle) == offset:
                before = middle
            else:
                change = middle
        pieces.append((start, change, offset))
        start, offset = change, _offset(zone, change)
    pieces.append((start, end, offset))
    return pieces


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def _readings(cron: CronExpression, start: datetime, end: datetime) -> Iterator[datetime]:
    """What the local clock reads when `cron` matches, start <= reading < end.

    A reading is a local time in a datetime labelled UTC, so that reading - offset is its instant.
    """
    times = _times_of_day(cron.hours, cron.minutes)
    day = _next_day(cron, start, end)
    while day is not None and day < end:
        first = bisect_left(times, start - day) if day < start else 0
        for time_of_day in times[first:]:
            reading = day + time_of_day
            if reading >= end:
                return
            yield reading
        day = _next_day(cron, day + _DAY, end)


@lru_cache(maxsize=1024)
def _times_of_day(hours: tuple[int, ...], minutes: tuple[int, ...]) -> tuple[timedelta, ...]:
    return tuple(timedelta(hours=hour, minutes=minute) for hour in hours for minute in minutes)


def _next_day(cron: CronExpression, start: datetime, end: datetime) -> datetime | None:
    """The first midnight of a matching day from the day of `start` to the year of `end`."""
    for year in range(start.year, end.year + 1):
        this_year = year == start.year
        for month in cron.months:
            if this_year and month < start.month:
                continue
            days = cron.days_in(*_shape(year, month))
            first = start.day if this_year and month == start.month else 1
            if (place := bisect_left(days, first)) < len(days):
                return datetime(year, month, days[place], tzinfo=UTC)
    return None


@lru_cache(maxsize=4096)
def _shape(year: int, month: int) -> tuple[int, int]:
    """The weekday a month begins on, Monday 0, and its length in days."""
    return monthrange(year, month)
