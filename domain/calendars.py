"""Calendars: what Temporal is told instead of a cron string.

The types mirror Temporal's structured calendar spec, in which day-of-month AND day-of-week must
match, always. Where crontab(5) means OR, an expression becomes two calendars: a schedule fires at
the union of its calendars.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.cron import CronExpression

_SHORTEST_PROGRESSION = 3


@dataclass(frozen=True, slots=True)
class Range:
    """The values start, start + step, ... up to and including `end` where a step lands on it."""

    start: int
    end: int
    step: int = 1

    def __contains__(self, value: int) -> bool:
        """True if the range has `value`."""
        return self.start <= value <= self.end and (value - self.start) % self.step == 0


_ZERO = (Range(0, 0),)
_ALL_DAYS_OF_MONTH = (Range(1, 31),)
_ALL_MONTHS = (Range(1, 12),)
_ALL_DAYS_OF_WEEK = (Range(0, 6),)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Local times of which every field matches; Sunday is 0, an empty `year` means every year.

    The defaults are Temporal's: at 00:00:00, every day.
    """

    second: tuple[Range, ...] = _ZERO
    minute: tuple[Range, ...] = _ZERO
    hour: tuple[Range, ...] = _ZERO
    day_of_month: tuple[Range, ...] = _ALL_DAYS_OF_MONTH
    month: tuple[Range, ...] = _ALL_MONTHS
    year: tuple[Range, ...] = ()
    day_of_week: tuple[Range, ...] = _ALL_DAYS_OF_WEEK
    comment: str = ""


def compile_cron(cron: CronExpression) -> tuple[Calendar, ...]:
    """Calendars whose union is `cron` by the local clock; each carries the cron text as comment.

    Two where day-of-month OR day-of-week is meant and both leave days out, otherwise one.
    """
    minute = compress(cron.minutes, 0, 59)
    hour = compress(cron.hours, 0, 23)
    month = compress(cron.months, 1, 12)
    day_of_month = compress(cron.days_of_month, 1, 31)
    day_of_week = compress(cron.days_of_week, 0, 6)
    if not cron.either_day:
        days = [(day_of_month, day_of_week)]
    elif day_of_month == _ALL_DAYS_OF_MONTH or day_of_week == _ALL_DAYS_OF_WEEK:
        days = [(_ALL_DAYS_OF_MONTH, _ALL_DAYS_OF_WEEK)]
    else:
        days = [(day_of_month, _ALL_DAYS_OF_WEEK), (_ALL_DAYS_OF_MONTH, day_of_week)]
    return tuple(
        Calendar(
            minute=minute,
            hour=hour,
            day_of_month=in_month,
            month=month,
            day_of_week=in_week,
            comment=cron.text,
        )
        for in_month, in_week in days
    )


def one_off_calendar(instant_utc: datetime) -> Calendar:
    """The calendar, to be read in UTC, that matches at `instant_utc` and never again.

    Raises ValueError if the instant is naive or not on a whole second: calendars have no fractions.
    """
    if instant_utc.tzinfo is None:
        raise ValueError("a one-off time needs a zone: a naive datetime names no instant")
    if instant_utc.microsecond:
        raise ValueError("a one-off time must be on a whole second")
    at = instant_utc.astimezone(UTC)
    return Calendar(
        second=_only(at.second),
        minute=_only(at.minute),
        hour=_only(at.hour),
        day_of_month=_only(at.day),
        month=_only(at.month),
        year=_only(at.year),
        comment=f"once at {at:%Y-%m-%dT%H:%M:%SZ}",
    )


def calendar_matches(calendar: Calendar, local: datetime) -> bool:
    """True if the local clock reading `local` matches; its zone and microseconds are ignored."""
    return (
        _has(calendar.second, local.second)
        and _has(calendar.minute, local.minute)
        and _has(calendar.hour, local.hour)
        and _has(calendar.day_of_month, local.day)
        and _has(calendar.month, local.month)
        and (not calendar.year or _has(calendar.year, local.year))
        and _has(calendar.day_of_week, local.isoweekday() % 7)
    )


def compress(values: Sequence[int], low: int, high: int) -> tuple[Range, ...]:
    """Sorted, distinct `values` of a field low..high as the few ranges a person would write.

    Consecutive values become ranges, three or more evenly spaced ones stepped ranges. Steps that
    fill the field from `low` end at `high`, as `*/15` does: 0, 15, 30, 45 is Range(0, 59, 15).
    """
    ranges: list[Range] = []
    rest = list(values)
    while rest:
        length = _progression_length(rest)
        step = rest[1] - rest[0] if length > 1 else 1
        if length < _SHORTEST_PROGRESSION and step > 1:
            length, step = 1, 1
        start, end = rest[0], rest[length - 1]
        if step > 1 and start == low and end + step > high:
            end = high
        ranges.append(Range(start, end, step))
        rest = rest[length:]
    return tuple(ranges)


def _progression_length(values: Sequence[int]) -> int:
    """How many values from the first on are evenly spaced."""
    length = min(len(values), 2)
    while length < len(values) and (values[length] - values[length - 1] == values[1] - values[0]):
        length += 1
    return length


def _has(ranges: tuple[Range, ...], value: int) -> bool:
    return any(value in r for r in ranges)


def _only(value: int) -> tuple[Range, ...]:
    return (Range(value, value),)
