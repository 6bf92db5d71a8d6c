"""A spec mended around the changes of a clock, until the model of the server says it is exact.

What the server would do too much is skipped, what it would leave out is added instant by instant.
Skips match clock readings, and so both passes of a repeated one: where one pass is wanted and the
server does both, the calendars themselves leave out that hour of that day.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.calendars import Calendar, Range, calendar_matches
from domain.clock_changes import clock_changes, offset_at, reading_at
from domain.shifted import at, may_match, without_hour
from domain.temporal_model import EPOCH, CompiledSpec, Instant, Interval, next_fire

MOST_ENTRIES = 200
"""A spec with more is refused: nobody could read it, and the server reads all of it often."""

_NONE = timedelta(0)
_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_ROUNDS = 12

# Where the server's search may start, besides at the wanted fires: after a restart, or when a
# schedule is changed or triggered, that can be any second. Between two of these nothing new begins.
_PROBED = timedelta(hours=4)
_PROBE = timedelta(minutes=15)


class CannotCompile(ValueError):  # noqa: N818 - it says what is so
    """The triggers cannot be said to Temporal exactly; the message says why and what to do."""


class TooManyEntries(CannotCompile):
    """The exact spec would have more than `MOST_ENTRIES` entries."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time (after, until] in which the changes of a clock at `changes` disturb a spec.

    `wanted` are all instants, in order, at which the spec shall fire in it besides its intervals.
    """

    after: datetime
    until: datetime
    changes: tuple[datetime, ...]
    wanted: tuple[datetime, ...]

    def dates(self) -> list[date]:
        """Every date that a clock anywhere may read in the window, and the days around them."""
        days = (self.until - self.after) // _DAY + 5
        return [self.after.date() + (day - 2) * _DAY for day in range(days)]

    def probes(self) -> Iterator[datetime]:
        """Where the server's search may start."""
        yield self.after
        yield from self.wanted
        for change in self.changes:
            at = change - _PROBED
            while at <= change + _PROBED:
                yield from (at - _SECOND, at)
                at += _PROBE


@dataclass(slots=True)
class _Repairs:
    """What is added to a spec in one window: clock readings to skip, and what else to fire at."""

    skipped: set[datetime] = field(default_factory=set)
    instants: set[datetime] = field(default_factory=set)
    readings: set[datetime] = field(default_factory=set)

    def added_to(self, spec: CompiledSpec) -> CompiledSpec:
        instants = tuple(Instant(instant) for instant in sorted(self.instants))
        return replace(
            spec,
            calendars=spec.calendars + tuple(dated(self.readings, "added")),
            skips=spec.skips + tuple(dated(self.skipped, "skipped")),
            instants=spec.instants + instants,
        )


def repaired(spec: CompiledSpec, windows: Iterable[Window]) -> CompiledSpec:
    """The spec with whatever it takes to fire at the wanted instants in the windows, and no others.

    That holds wherever the server's search starts. Raises CannotCompile.
    """
    whole, done = _bounded(spec), list[_Repairs]()
    for window in windows:
        spec, repairs = _repair(spec, window)
        done.append(repairs)
        whole = spec
        for repairs in done:
            whole = repairs.added_to(whole)
        _bounded(whole)
    return whole


def dated(readings: Iterable[datetime], what: str) -> list[Calendar]:
    """Calendars of these clock readings (naive) and no others; `what` is said in comments."""
    days: dict[tuple[date, int], list[tuple[int, int]]] = defaultdict(list)
    for reading in sorted(readings):
        days[reading.date(), reading.second].append((reading.hour, reading.minute))
    found = []
    for (day, second), times in days.items():
        on_day = Calendar(
            second=(Range(second, second),),
            day_of_month=(Range(day.day, day.day),),
            month=(Range(day.month, day.month),),
            year=(Range(day.year, day.year),),
            comment=f"clock change: {what} on {day}",
        )
        found += at(on_day, times)
    return found


def _repair(spec: CompiledSpec, window: Window) -> tuple[CompiledSpec, _Repairs]:
    zone, repairs = ZoneInfo(spec.zone), _Repairs()
    for _ in range(_ROUNDS):
        extra, twice, missing = _differences(spec, repairs, window)
        if not extra and not twice and not missing:
            return spec, repairs
        repairs.skipped |= extra
        for instant in missing:
            if clock_changes(zone, instant - 2 * _DAY, instant + 2 * _DAY):
                repairs.instants.add(instant)
            else:  # a calendar is shorter and easier to read, and safe here
                repairs.readings.add(reading_at(zone, instant))
        if twice and not missing:  # a search that finds what is missing may not come this far
            spec = _without(spec, min(twice))
        _bounded(repairs.added_to(spec))
    raise CannotCompile(f"no repair was found for the change of the clock on {window.changes[0]}")


def _differences(
    spec: CompiledSpec, repairs: _Repairs, window: Window
) -> tuple[set[datetime], set[datetime], set[datetime]]:
    """(extra, twice, missing) of all searches: readings to skip; readings that cannot be skipped,
    because another pass or an interval is wanted there; and instants that are passed over.

    Intervals are exact and can be many, so they are left out; where one fires nothing is extra.
    """
    zone, dates = ZoneInfo(spec.zone), window.dates()
    here = tuple(calendar for calendar in spec.calendars if may_match(calendar, dates))
    mended = repairs.added_to(replace(spec, calendars=here, intervals=()))
    extra, twice, missing = set(), set(), set()
    wanted, all_wanted = window.wanted, set(window.wanted)
    wanted_readings = {reading_at(zone, instant) for instant in wanted}
    for probe in set(window.probes()):
        if not window.after <= probe <= window.until:
            continue
        found = next_fire(mended, probe, until=window.until)
        while found and found not in all_wanted:
            reading = reading_at(zone, found)
            if not _fires(spec.intervals, found):
                if reading in wanted_readings or _is_on_interval(spec, zone, reading):
                    twice.add(reading)
                    break
                extra.add(reading)
            found = next_fire(mended, found, until=window.until)
        place = bisect_right(wanted, probe)
        expected = wanted[place] if place < len(wanted) else None
        if expected and (found is None or found > expected):
            missing.add(expected)
    return extra, twice, {instant for instant in missing if not _fires(spec.intervals, instant)}


def _is_on_interval(spec: CompiledSpec, zone: ZoneInfo, reading: datetime) -> bool:
    """Whether an interval fires on a pass of a reading: a skip would take that fire too."""
    utc = reading.replace(tzinfo=UTC)
    passes = {utc - offset_at(zone, utc + days * _DAY) for days in (-1, 1)}
    return any(
        reading_at(zone, instant) == reading and _fires(spec.intervals, instant)
        for instant in passes
    )


def _fires(intervals: Iterable[Interval], instant: datetime) -> bool:
    return any((instant - EPOCH - i.offset) % i.every == _NONE for i in intervals)


def _without(spec: CompiledSpec, reading: datetime) -> CompiledSpec:
    """The spec with calendars that leave out the hour of a reading, or the one before, that day."""
    for early in (_NONE, _HOUR):  # the server may have found it while searching one hour late
        source = reading - early
        if any(calendar_matches(calendar, source) for calendar in spec.calendars):
            calendars: list[Calendar] = []
            for calendar in spec.calendars:
                if calendar_matches(calendar, source):
                    calendars += without_hour(calendar, source.date(), source.hour)
                else:
                    calendars.append(calendar)
            return replace(spec, calendars=tuple(calendars))
    raise CannotCompile(f"{reading} in {spec.zone} is wanted on one pass of the clock only")


def _bounded(spec: CompiledSpec) -> CompiledSpec:
    if spec.size > MOST_ENTRIES:
        raise TooManyEntries(
            f"firing at exactly these times by the clock of {spec.zone} takes more than "
            f"{MOST_ENTRIES} entries in a schedule: use an interval, UTC, one zone, less"
        )
    return spec
