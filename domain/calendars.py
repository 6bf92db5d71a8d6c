"""Calendars: what Temporal is told instead of a cron string.

The types mirror Temporal's structured calendar spec, in which day-of-month AND day-of-week must
match, always. Where crontab(5) means OR, an expression becomes two calendars: a schedule fires at
the union of its calendars. A day by the shape of its month becomes days AND weekdays for the months
of each length: 5L is Friday and 25-31, or 24-30, and in February 23-29, in common years also 22.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

from domain.cron import CronExpression
from domain.month_days import LENGTHS, DayField, SpecialDay, weekday_of

_SHORTEST_PROGRESSION = 3
_FEBRUARY, _COMMON, _LEAP = 2, 28, 29
_WEEK = frozenset(range(7))
_MONTH = frozenset(range(1, 32))


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


# No calendar of Temporal's matches outside the years 2000 to 2100, so these are all there are, and
# none has to be added later. 2100 is no leap year.
_YEARS_OF = {
    _LEAP: (Range(2000, 2096, 4),),
    _COMMON: (
        Range(2001, 2097, 4),
        Range(2002, 2098, 4),
        Range(2003, 2099, 4),
        Range(2100, 2100),
    ),
}


@dataclass(frozen=True, slots=True)
class _Block:
    """Those of `days` that fall on one of `weekdays`, in months of one of `lengths`."""

    days: frozenset[int]
    weekdays: frozenset[int]
    lengths: frozenset[int]

    def has(self, other: "_Block") -> bool:
        """True if nothing of `other` is missing."""
        return (
            self.days >= other.days
            and self.weekdays >= other.weekdays
            and self.lengths >= other.lengths
        )

    def both(self, other: "_Block") -> "_Block":
        """What the two have in common."""
        return _Block(
            self.days & other.days, self.weekdays & other.weekdays, self.lengths & other.lengths
        )

    def dates(self, length: int) -> set[tuple[int, int]]:
        """The (day, weekday) of this block that a month of `length` days can have."""
        return {(day, on) for day in self.days if day <= length for on in self.weekdays}


def compile_cron(cron: CronExpression) -> tuple[Calendar, ...]:
    """Calendars whose union is `cron` by the local clock; each carries the cron text as comment.

    One, or two where day-of-month OR day-of-week is meant and both leave days out. Days by the
    shape of a month take more: `5#2` one, `15W` 3, `L` and `5L` 4, `LW` 8, one or two for months of
    each length; where the lengths of February differ, `year` tells them apart. Exact in all years
    that Temporal's calendars know, 2000 to 2100.
    """
    lengths = frozenset(length for month in cron.months for length in LENGTHS[month])
    blocks = _blocks(
        (cron.days_of_month, cron.special_days_of_month),
        (cron.days_of_week, cron.special_days_of_week),
        cron.either_day,
        lengths,
    )
    times = Calendar(
        minute=compress(cron.minutes, 0, 59), hour=compress(cron.hours, 0, 23), comment=cron.text
    )
    found = []
    for block in blocks:
        calendar = replace(
            times,
            day_of_month=compress(sorted(block.days), 1, 31),
            day_of_week=compress(sorted(block.weekdays), 0, 6),
        )
        months = [month for month in cron.months if block.lengths.issuperset(LENGTHS[month])]
        if months:
            found.append(replace(calendar, month=compress(months, 1, 12)))
        if _FEBRUARY in cron.months and _FEBRUARY not in months:
            found += [
                replace(calendar, month=_only(_FEBRUARY), year=years)
                for length, years in _YEARS_OF.items()
                if length in block.lengths
            ]
    return tuple(found)


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


@lru_cache(maxsize=1024)
def _blocks(
    of_month: DayField, of_week: DayField, either: bool, lengths: frozenset[int]
) -> tuple[_Block, ...]:
    """The days that both fields match, or `either`, in months of these lengths: in few blocks."""
    (days, special_days), (weekdays, special_weekdays) = of_month, of_week
    in_month = [_Block(frozenset(days), _WEEK, lengths)]
    in_week = [_Block(_MONTH, frozenset(weekdays), lengths)]
    in_month += [block for special in special_days for block in _shaped(special, lengths)]
    in_week += [block for special in special_weekdays for block in _shaped(special, lengths)]
    if either:
        blocks = in_month + in_week
    else:
        blocks = [one.both(other) for one in _merged(in_month) for other in _merged(in_week)]
    blocks = _merged(blocks)
    if special_days or special_weekdays:
        # What holds in any February needs no years; what holds in any month, no months.
        blocks = _widened(blocks, lengths & _YEARS_OF.keys())
        widest = _widened(blocks, lengths)
        blocks = widest if len(widest) < len(blocks) else blocks
    return tuple(blocks)


def _shaped(special: SpecialDay, lengths: Iterable[int]) -> Iterator[_Block]:
    """The blocks of one special day, for each length of a month by itself."""
    for length in sorted(lengths, reverse=True):
        weekdays: dict[int, set[int]] = defaultdict(set)  # on which the day may be the special one
        for first_weekday in range(7):
            if (day := special.day_in(first_weekday, length)) is not None:
                weekdays[day].add(weekday_of(day, first_weekday))
        for day, on in weekdays.items():
            yield _Block(frozenset([day]), frozenset(on), frozenset([length]))


def _merged(blocks: list[_Block]) -> list[_Block]:
    """The same days in fewer blocks: one for those that differ in one respect, none for empty."""
    blocks = [block for block in blocks if block.days and block.weekdays and block.lengths]
    before = 0
    while len(blocks) != before:
        before = len(blocks)
        for respect in ("days", "lengths", "weekdays"):
            alike: dict[_Block, list[_Block]] = defaultdict(list)
            for block in blocks:
                alike[replace(block, **{respect: frozenset()})].append(block)
            blocks = [
                replace(rest, **{respect: frozenset().union(*(getattr(b, respect) for b in same))})
                for rest, same in alike.items()
            ]
    return [b for b in blocks if not any(o != b and o.has(b) for o in blocks)]


def _widened(blocks: list[_Block], to: Set[int]) -> list[_Block]:
    """The same days, with blocks of some lengths of `to` made to be of all, where that adds none.

    It adds none where the other blocks have these days already, or no month so short has them.
    """
    days_of: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for block in blocks:
        for length in block.lengths:
            days_of[length] |= block.dates(length)
    found = []
    for block in blocks:
        same = to & block.lengths and all(block.dates(n) <= days_of[n] for n in to)
        found.append(replace(block, lengths=block.lengths | to) if same else block)
    return _merged(found)


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
