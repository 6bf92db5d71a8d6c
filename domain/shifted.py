"""Calendars moved in time and cut by date: exact, and as few calendars as a person would write.

All of it is about clock readings. What a zone makes of them is `domain.temporal_model`.
"""

from calendar import isleap, monthrange
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TypeVar

from domain.calendars import Calendar, Range, compress
from domain.temporal_model import FIRST_YEAR, LAST_YEAR, values_of

LONGEST_SHIFT = timedelta(days=14)

Numbers = frozenset[int]
Key = TypeVar("Key")

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_DAY_SECONDS = 86_400
_YEARS = frozenset(range(FIRST_YEAR, LAST_YEAR + 1))
_LEAP_YEARS = frozenset(filter(isleap, _YEARS))
_SAMPLES = ((2003, _YEARS - _LEAP_YEARS), (2004, _LEAP_YEARS))  # a year for all of its kind
_MONTHS = frozenset(range(1, 13))
_DAYS = frozenset(range(1, 32))
_MOST_RANGES = 5


@dataclass(frozen=True, slots=True)
class _Dates:
    """Every day of `days` in every month of `months` of every year of `years`."""

    years: Numbers = _YEARS
    months: Numbers = _MONTHS
    days: Numbers = _DAYS

    def both(self, other: "_Dates") -> "_Dates":
        return _Dates(self.years & other.years, self.months & other.months, self.days & other.days)

    def exist(self) -> bool:
        longest = max((monthrange(2004, month)[1] for month in self.months), default=0)
        return bool(self.years) and any(day <= longest for day in self.days)


def shifted(calendar: Calendar, by: timedelta) -> tuple[Calendar, ...]:
    """Calendars that together match the readings of `calendar` plus `by`, in whole seconds.

    `calendar` has one value of seconds. Raises ValueError if `by` is more than `LONGEST_SHIFT`.
    """
    if abs(by) > LONGEST_SHIFT:
        raise ValueError(f"a calendar cannot be moved by more than {LONGEST_SHIFT.days} days")
    if not by:
        return (calendar,)
    [second] = values_of(calendar.second)
    second += by // _SECOND
    times: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for hour in values_of(calendar.hour):
        for minute in values_of(calendar.minute):
            days, rest = divmod(hour * 3600 + minute * 60 + second, _DAY_SECONDS)
            times[days].add((rest // 3600, rest // 60 % 60))
    dates, weekdays = _dates_of(calendar), values_of(calendar.day_of_week)
    if dates == _Dates() and len(weekdays) == 7:  # noqa: PLR2004 - days of a week
        times = {0: set().union(*times.values())}  # every day: it does not matter which
    found = []
    for days, readings in sorted(times.items()):
        on_days = replace(
            calendar,
            second=_only(second % 60),
            day_of_week=compress(sorted((day + days) % 7 for day in weekdays), 0, 6),
        )
        found += [
            _on(at_times, moved)
            for moved in _later(dates, days)
            for at_times in at(on_days, readings)
        ]
    return tuple(found)


def at(calendar: Calendar, readings: Iterable[tuple[int, int]]) -> list[Calendar]:
    """`calendar` at these (hour, minute), as one calendar for each set of minutes or of hours."""
    hours_of, minutes_of = defaultdict(set), defaultdict(set)
    for hour, minute in readings:
        hours_of[minute].add(hour)
        minutes_of[hour].add(minute)
    by_minutes = [(hours, minutes) for minutes, hours in _grouped(minutes_of)]
    return [
        replace(calendar, hour=compress(sorted(h), 0, 23), minute=compress(sorted(m), 0, 59))
        for h, m in min(_grouped(hours_of), by_minutes, key=len)
    ]


def between(calendar: Calendar, spans: Iterable[tuple[date, date]]) -> tuple[Calendar, ...]:
    """`calendar` only on the dates of the spans (first, last), both included."""
    whole: dict[int, set[int]] = defaultdict(set)
    parts: dict[tuple[int, Numbers], set[int]] = defaultdict(set)
    for first, last in spans:
        for year, month, days in _months(first, last):
            if len(days) == monthrange(year, month)[1]:
                whole[year].add(month)
            else:
                parts[month, days].add(year)
    dates = [_Dates(years, months) for months, years in _grouped(whole)]
    dates += [_Dates(frozenset(y), frozenset([m]), days) for (m, days), y in parts.items()]
    return _cut(calendar, dates)


def without_hour(calendar: Calendar, day: date, hour: int) -> tuple[Calendar, ...]:
    """`calendar` but for its readings in one hour of one day."""
    hours = set(values_of(calendar.hour))
    if hour not in hours:
        return (calendar,)
    others = hours - {hour}
    rest = [replace(calendar, hour=compress(sorted(others), 0, 23))] if others else []
    year, month = frozenset([day.year]), frozenset([day.month])
    other_dates = (
        _Dates(months=_MONTHS - month),
        _Dates(_YEARS - year, month),
        _Dates(year, month, _DAYS - {day.day}),
    )
    return (*rest, *_cut(replace(calendar, hour=_only(hour)), other_dates))


def may_match(calendar: Calendar, dates: Iterable[date]) -> bool:
    """False if `calendar` matches on none of these dates, whatever their weekdays are."""
    meant = _dates_of(calendar)
    return any(
        day.day in meant.days and day.month in meant.months and day.year in meant.years
        for day in dates
    )


def _cut(calendar: Calendar, dates: Iterable[_Dates]) -> tuple[Calendar, ...]:
    pieces = (_dates_of(calendar).both(piece) for piece in dates)
    return tuple(_on(calendar, piece) for piece in pieces if piece.exist())


def _later(dates: _Dates, days: int) -> list[_Dates]:
    """The dates `days` days after these; leap years apart only where February makes them so."""
    if not days or dates == _Dates():
        return [dates]
    found: dict[tuple[int, Numbers], set[int]] = defaultdict(set)  # (month, days): years
    everywhere = dates.years == _YEARS
    for sample, alike in _SAMPLES:
        moved: dict[tuple[int, int], set[int]] = defaultdict(set)  # (year, month): days
        for month in dates.months:
            for day in dates.days & set(range(1, monthrange(sample, month)[1] + 1)):
                target = date(sample, month, day) + days * _DAY
                # Where all years are meant, it does not matter from which one a date comes.
                moved[0 if everywhere else target.year - sample, target.month].add(target.day)
        for (year, month), in_month in moved.items():
            years = {y + year for y in dates.years & alike} & _YEARS
            found[month, frozenset(in_month)] |= years
    months: dict[int, set[tuple[Numbers, Numbers]]] = defaultdict(set)
    for (month, target_days), in_years in found.items():
        months[month].add((target_days, frozenset(in_years)))
    alike_months: dict[tuple[Numbers, Numbers], set[int]] = defaultdict(set)
    for month, pieces in months.items():
        for piece in pieces:
            alike_months[piece].add(month)
    return [
        _Dates(in_years, frozenset(in_months), target_days)
        for (target_days, in_years), in_months in alike_months.items()
    ]


def _months(first: date, last: date) -> Iterator[tuple[int, int, Numbers]]:
    """The months (year, month, days) that the dates from `first` to `last` lie in."""
    month = first.replace(day=1)
    while month <= last:
        length = monthrange(month.year, month.month)[1]
        end = month.replace(day=length)
        low = first.day if month < first else 1
        high = last.day if end > last else length
        yield month.year, month.month, frozenset(range(low, high + 1))
        if end == date.max:
            return
        month = end + _DAY


def _grouped(values: Mapping[int, Set[int]]) -> list[tuple[Numbers, Numbers]]:
    """(value, keys) for each distinct value of a mapping."""
    keys: dict[Numbers, set[int]] = defaultdict(set)
    for key, value in values.items():
        keys[frozenset(value)].add(key)
    return [(value, frozenset(alike)) for value, alike in keys.items()]


def _dates_of(calendar: Calendar) -> _Dates:
    return _Dates(
        frozenset(values_of(calendar.year)) or _YEARS,
        frozenset(values_of(calendar.month)),
        frozenset(values_of(calendar.day_of_month)),
    )


def _on(calendar: Calendar, dates: _Dates) -> Calendar:
    return replace(
        calendar,
        year=() if dates.years == _YEARS else _year_ranges(dates.years),
        month=compress(sorted(dates.months), 1, 12),
        day_of_month=compress(sorted(dates.days), 1, 31),
    )


def _year_ranges(years: Numbers) -> tuple[Range, ...]:
    ranges = compress(sorted(years), FIRST_YEAR, LAST_YEAR)
    if len(ranges) <= _MOST_RANGES:
        return ranges
    # All but the leap years: few ranges only when each year of the cycle is taken by itself.
    by_cycle = [sorted(y for y in years if y % 4 == place) for place in range(4)]
    return tuple(r for part in by_cycle for r in compress(part, FIRST_YEAR, LAST_YEAR))


def _only(value: int) -> tuple[Range, ...]:
    return (Range(value, value),)
