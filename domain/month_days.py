"""Days that a month has by its shape: `L`, `L-3`, `LW`, `15W`, `5#2` and `5L` of a cron text.

The shape of a month is its length in days and the weekday it begins on, Monday 0, as
`calendar.monthrange` tells them. It decides which day each of these values is: one or none.
Elsewhere a weekday is crontab's, Sunday 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

_FEBRUARY = 2
_SHORT_MONTHS = (4, 6, 9, 11)

LENGTHS: Mapping[int, tuple[int, ...]] = {
    month: (28, 29) if month == _FEBRUARY else (30,) if month in _SHORT_MONTHS else (31,)
    for month in range(1, 13)
}
"""The days that each month (1-12) can have: February has two lengths."""


@dataclass(frozen=True, slots=True)
class LastDay:
    """`L`, the last day of the month, or `L-3`, the day `before` days before it (0-30)."""

    before: int = 0

    def day_in(self, _first_weekday: int, length: int) -> int | None:
        """The day in a month of this shape; None where the month is too short."""
        return length - self.before if self.before < length else None


@dataclass(frozen=True, slots=True)
class LastWorkday:
    """`LW`: the last of Monday to Friday in the month."""

    def day_in(self, first_weekday: int, length: int) -> int | None:
        """The day in a month of this shape; there always is one."""
        return _workday_nearest(length, first_weekday, length)


@dataclass(frozen=True, slots=True)
class NearestWorkday:
    """`15W`: of Monday to Friday, the day nearest to `day` (1-31) that is in the same month."""

    day: int

    def day_in(self, first_weekday: int, length: int) -> int | None:
        """The day in a month of this shape; None where the month has no such day to be near to."""
        return _workday_nearest(self.day, first_weekday, length) if self.day <= length else None


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """`5#2`: the `nth` (1-5) of a weekday in the month."""

    weekday: int
    nth: int

    def day_in(self, first_weekday: int, length: int) -> int | None:
        """The day in a month of this shape; None where there is no fifth."""
        day = _first(self.weekday, first_weekday) + 7 * (self.nth - 1)
        return day if day <= length else None


@dataclass(frozen=True, slots=True)
class LastWeekday:
    """`5L`: the last of a weekday in the month."""

    weekday: int

    def day_in(self, first_weekday: int, length: int) -> int | None:
        """The day in a month of this shape; there always is one."""
        first = _first(self.weekday, first_weekday)
        return first + (length - first) // 7 * 7


SpecialDay: TypeAlias = LastDay | LastWorkday | NearestWorkday | NthWeekday | LastWeekday
DayField: TypeAlias = tuple[tuple[int, ...], tuple[SpecialDay, ...]]
"""What a day field means: plain values, that is days or weekdays, and special days."""


def in_order(special: set[SpecialDay]) -> tuple[SpecialDay, ...]:
    """Sorted by the day that each is in a month of 31 days that begins on a Monday."""
    return tuple(sorted(special, key=lambda s: (s.day_in(0, 31) or 32, repr(s))))


def weekday_of(day: int, first_weekday: int) -> int:
    """The weekday (Sunday 0) of a day in a month that begins on `first_weekday` (Monday 0)."""
    return (first_weekday + day) % 7


@lru_cache(maxsize=4096)
def matching_days(
    of_month: DayField, of_week: DayField, either: bool, first_weekday: int, length: int
) -> tuple[int, ...]:
    """The days of a month of this shape, sorted, that both fields match, or `either` of them."""
    (days, special_days), (weekdays, special_weekdays) = of_month, of_week
    in_week = {day for day in range(1, length + 1) if weekday_of(day, first_weekday) in weekdays}
    in_month = {day for day in days if day <= length}
    for matched, special in ((in_month, special_days), (in_week, special_weekdays)):
        found = (one.day_in(first_weekday, length) for one in special)
        matched.update(day for day in found if day is not None)
    return tuple(sorted(in_month | in_week if either else in_month & in_week))


def _first(weekday: int, first_weekday: int) -> int:
    return (weekday - weekday_of(1, first_weekday)) % 7 + 1


def _workday_nearest(day: int, first_weekday: int, length: int) -> int:
    match weekday_of(day, first_weekday):
        case 6:  # Saturday
            return day - 1 if day > 1 else day + 2
        case 0:  # Sunday
            return day + 1 if day < length else day - 2
    return day
