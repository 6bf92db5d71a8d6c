"""How Temporal server 1.32 expands the spec of a schedule into instants, clock changes included.

The server looks for the next fire after an instant by counting its clock reading up, field by
field, and turning the reading it ends at into an instant. Three of its habits are not crontab's:

- a reading that comes twice means the first pass west of UTC and the second pass elsewhere;
- when an hour seems to last longer than an hour it searches that hour again, one hour late: west
  of UTC that is the second pass, elsewhere it is a wrong hour;
- a search that starts while the clock's hour is the one it read an hour ago runs one hour late.

So the next fire depends on where the search starts, not only on the spec. The model is exact in
the years that calendars know, up to 2100, for whole seconds.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from domain.calendars import Calendar, Range, calendar_matches
from domain.clock_changes import offset_at, reading_at

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR, LAST_YEAR = 2000, 2100  # of the server's calendars

_NONE = timedelta(0)
_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_AGE = timedelta(days=14_610)  # 40 years


@dataclass(frozen=True, slots=True)
class Interval:
    """Instants that are `offset` (0 <= offset < every) after a multiple of `every` since 1970."""

    every: timedelta
    offset: timedelta


@dataclass(frozen=True, slots=True)
class Instant:
    """One fire, in 2010 or later: for the server it is an interval of 40 years or more."""

    at: datetime

    @property
    def interval(self) -> Interval:
        """The interval that fires then, and neither in the 40 years before nor in those after.

        The server never fires at an interval's offset itself, only after whole intervals: the
        offset has to lie one interval before the instant.
        """
        since = self.at - EPOCH
        every = _AGE
        while since >= 2 * every:
            every *= 2
        return Interval(every, since - every)


@dataclass(frozen=True, slots=True)
class CompiledSpec:
    """What a schedule is told: fires at the union of the parts, except where a skip matches.

    Calendars and skips are read by the clock of `zone`. The fires are those of the task from the
    moment of compilation to `exact_until`; None means always.
    """

    zone: str
    calendars: tuple[Calendar, ...] = ()
    skips: tuple[Calendar, ...] = ()
    intervals: tuple[Interval, ...] = ()
    instants: tuple[Instant, ...] = ()
    exact_until: datetime | None = None

    @property
    def size(self) -> int:
        """How many entries the schedule shows."""
        return sum(map(len, (self.calendars, self.skips, self.intervals, self.instants)))


def next_fire(
    spec: CompiledSpec, after: datetime, *, until: datetime | None = None
) -> datetime | None:
    """The fire (UTC) that the server finds when it starts to search at `after`.

    None if there is none, or none by `until`: then the search ends there.
    """
    zone = ZoneInfo(spec.zone)
    found = raw_next_fire(spec, after, until=until)
    while found and _is_skipped(spec, zone, found):
        found = raw_next_fire(spec, found, until=until)
    return found


def fires(spec: CompiledSpec, *, after: datetime, until: datetime) -> Iterator[datetime]:
    """The fires (UTC) in (after, until], each searched for from the one before."""
    found = next_fire(spec, after, until=until)
    while found:
        yield found
        found = next_fire(spec, found, until=until)


def raw_next_fire(
    spec: CompiledSpec, after: datetime, *, until: datetime | None = None
) -> datetime | None:
    """The next fire as if there were no skips: what the server cuts jitter off at."""
    found: list[datetime | None] = []
    if spec.calendars:
        zone = ZoneInfo(spec.zone)
        reading, late = _first_reading(zone, after)
        last = _midnight(reading_at(zone, until)) + _DAY if until else datetime.max  # noqa: DTZ901
        found += [_next_match(_fields(one), zone, reading, late, last) for one in spec.calendars]
    found += [_next_multiple(interval, after) for interval in spec.intervals]
    found += [instant.at for instant in spec.instants if instant.at > after]
    first = min((instant for instant in found if instant), default=None)
    return first if first and (until is None or first <= until) else None


def values_of(ranges: tuple[Range, ...]) -> tuple[int, ...]:
    """The values that ranges say: sorted, each once."""
    return tuple(sorted({v for r in ranges for v in range(r.start, r.end + 1, r.step)}))


@dataclass(frozen=True, slots=True)
class _Fields:
    """The values of a calendar's fields, sorted."""

    second: tuple[int, ...]
    minute: tuple[int, ...]
    hour: tuple[int, ...]
    day_of_month: tuple[int, ...]
    month: tuple[int, ...]
    year: tuple[int, ...]
    day_of_week: tuple[int, ...]


@lru_cache(maxsize=4096)
def _fields(calendar: Calendar) -> _Fields:
    return _Fields(
        values_of(calendar.second),
        values_of(calendar.minute),
        values_of(calendar.hour),
        values_of(calendar.day_of_month),
        values_of(calendar.month),
        values_of(calendar.year) or tuple(range(FIRST_YEAR, LAST_YEAR + 1)),
        values_of(calendar.day_of_week),
    )


def _is_skipped(spec: CompiledSpec, zone: ZoneInfo, instant: datetime) -> bool:
    """Skips match the clock's reading: both passes of a repeated one, and intervals too."""
    reading = reading_at(zone, instant)
    return any(calendar_matches(skip, reading) for skip in spec.skips)


def _next_multiple(interval: Interval, after: datetime) -> datetime:
    since = after - EPOCH - interval.offset
    count = max(since // interval.every, 0) + 1
    return EPOCH + interval.offset + count * interval.every


def _first_reading(zone: ZoneInfo, after: datetime) -> tuple[datetime, timedelta]:
    """Where the server's search after an instant begins, and what it adds to what it finds."""
    reading = reading_at(zone, after).replace(microsecond=0)
    late = _HOUR if reading_at(zone, after - _HOUR).hour == reading.hour else _NONE
    return _count_up(zone, reading, late)


def _next_match(
    fields: _Fields, zone: ZoneInfo, reading: datetime, late: timedelta, last: datetime
) -> datetime | None:
    """The server's search through one calendar; `late` is what it adds to the instant it finds."""
    while reading <= last:
        if (year := _from(fields.year, reading.year)) is None:
            return None
        if year != reading.year:
            reading, late = datetime(year, 1, 1), _NONE  # noqa: DTZ001 - a clock reading
        elif (month := _from(fields.month, reading.month)) is None:
            reading, late = datetime(year + 1, 1, 1), _NONE  # noqa: DTZ001
        elif month != reading.month:
            reading, late = datetime(year, month, 1), _NONE  # noqa: DTZ001
        elif (
            not _day_matches(fields, zone, reading)
            or (hour := _from(fields.hour, reading.hour)) is None
        ):
            reading, late = _midnight(reading) + _DAY, _NONE
        else:
            if hour != reading.hour:
                # Without another look at the weekday, which a gap at midnight may have misread.
                reading, late = _midnight(reading) + hour * _HOUR, _NONE
            match = _first_in_hour(fields, reading)
            if match is None:
                reading, late = _count_up(zone, reading.replace(minute=59, second=59), late)
                continue
            instant = _instant(zone, match)
            if reading_at(zone, instant).hour == match.hour:
                return instant + late
            reading = match.replace(minute=0, second=0) + _HOUR  # it lies in a gap
    return None


def _count_up(zone: ZoneInfo, reading: datetime, late: timedelta) -> tuple[datetime, timedelta]:
    """One second on; out of an hour only after what the server takes for its second pass."""
    following = reading + _SECOND
    if following.hour == reading.hour:
        return following, late
    hour = following - _HOUR
    if not late and _instant(zone, following) - _instant(zone, hour) > _HOUR:
        return hour, _HOUR
    return following, _NONE


def _instant(zone: ZoneInfo, reading: datetime) -> datetime:
    """The instant that the server takes a reading for, whether it comes once, twice or never."""
    utc = reading.replace(tzinfo=UTC)
    return utc - offset_at(zone, utc - offset_at(zone, utc))


def _day_matches(fields: _Fields, zone: ZoneInfo, reading: datetime) -> bool:
    """Whether the day is meant; the weekday is that of the instant, so a gap can move it."""
    if reading.day not in fields.day_of_month:
        return False
    weekday = reading_at(zone, _instant(zone, reading)).isoweekday() % 7
    return weekday in fields.day_of_week


def _first_in_hour(fields: _Fields, reading: datetime) -> datetime | None:
    """The first matching reading from `reading` to the end of its hour."""
    minute = _from(fields.minute, reading.minute)
    if minute is None:
        return None
    if minute != reading.minute:
        reading = reading.replace(minute=minute, second=0)
    second = _from(fields.second, reading.second)
    if second is not None:
        return reading.replace(second=second)
    if minute == fields.minute[-1]:
        return None
    later = fields.minute[bisect_left(fields.minute, minute + 1)]
    return reading.replace(minute=later, second=fields.second[0])


def _from(values: tuple[int, ...], low: int) -> int | None:
    """The first value that is not below `low`."""
    place = bisect_left(values, low)
    return values[place] if place < len(values) else None


def _midnight(reading: datetime) -> datetime:
    return reading.replace(hour=0, minute=0, second=0)
