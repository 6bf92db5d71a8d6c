"""Calendars moved in time and cut by date match exactly the readings that they should."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendars import Calendar, Range, calendar_matches, compile_cron
from domain.cron import parse_cron
from domain.shifted import LONGEST_SHIFT, at, between, may_match, shifted, without_hour
from tests.domain.test_cron import cron_texts

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)

dates = st.dates(date(2026, 1, 1), date(2029, 12, 31))
shifts = st.integers(-100_000, 200_000).map(lambda seconds: timedelta(seconds=seconds))


def _readings(day: date) -> list[datetime]:
    """A reading every 5 minutes from the day before to the day after, and some in between."""
    start = datetime(day.year, day.month, day.day) - _DAY  # noqa: DTZ001 - a clock reading
    return [start + number * 5 * _MINUTE for number in range(3 * 288)]


def _any(calendars: tuple[Calendar, ...], reading: datetime) -> bool:
    return any(calendar_matches(calendar, reading) for calendar in calendars)


@settings(deadline=None, max_examples=40)
@given(cron_texts(), shifts, dates)
@pytest.mark.parametrize("month_end", [False, True])
def test_shifted_calendars_match_the_shifted_readings(
    month_end: bool, text: str, by: timedelta, day: date
) -> None:
    """A reading matches a calendar exactly if the reading moved matches the calendar moved."""
    if month_end:  # where days of the month are carried over
        day = day.replace(day=1)
    calendars = compile_cron(parse_cron(text))
    moved = tuple(piece for calendar in calendars for piece in shifted(calendar, by))
    for reading in _readings(day):
        assert _any(calendars, reading) == _any(moved, reading + by)


@pytest.mark.parametrize(
    ("text", "minutes", "expected"),
    [
        ("50 23 * * *", 20, ["10 0 * *"]),
        ("50 23 * * 5", 20, ["10 0 * 6"]),
        ("0,50 * * * *", 15, ["5,15 0-23 * *"]),
        ("30 8-18 * * 1-5", 45, ["15 9-19 * 1-5"]),
        ("0,45 8-10 * * *", 20, ["5 9-11 * *", "20 8-10 * *"]),
        ("50 23 30 * *", 20, ["10 0 1,31 *", "10 0 31 *"]),
    ],
)
def test_shifts_stay_as_short_as_a_person_would_write(
    text: str, minutes: int, expected: list[str]
) -> None:
    """Carries into hours, days and months make few calendars."""

    def written(ranges: tuple[Range, ...], every: Range) -> str:
        one = [f"{r.start}" if r.start == r.end else f"{r.start}-{r.end}" for r in ranges]
        return "*" if ranges == (every,) else ",".join(one)

    [calendar] = compile_cron(parse_cron(text))
    assert sorted(
        " ".join(
            [
                written(moved.minute, Range(-1, -1)),
                written(moved.hour, Range(-1, -1)),
                written(moved.day_of_month, Range(1, 31)),
                written(moved.day_of_week, Range(0, 6)),
            ]
        )
        for moved in shifted(calendar, minutes * _MINUTE)
    ) == sorted(expected)


def test_a_day_before_the_first_of_march_knows_leap_years() -> None:
    """Only there do years matter, and they are said as steps of four."""
    [calendar] = compile_cron(parse_cron("0 0 1 3 *"))
    moved = shifted(calendar, -_MINUTE)
    assert {len(piece.year) for piece in moved} == {1, 4}
    for year, day in ((2027, 28), (2028, 29), (2100, 28)):
        assert _any(moved, datetime(year, 2, day, 23, 59))  # noqa: DTZ001
    assert not _any(moved, datetime(2028, 2, 28, 23, 59))  # noqa: DTZ001


def test_a_shift_of_more_than_two_weeks_is_refused() -> None:
    """The longest shift is a limit, not a habit."""
    with pytest.raises(ValueError, match="14 days"):
        shifted(Calendar(), LONGEST_SHIFT + _DAY)


@settings(deadline=None, max_examples=40)
@given(cron_texts(), dates, dates, dates)
def test_between_keeps_the_dates_of_its_spans(text: str, a: date, b: date, day: date) -> None:
    """Inside the span a bounded calendar matches as before, outside never."""
    first, last = min(a, b), max(a, b)
    calendars = compile_cron(parse_cron(text))
    bounded = tuple(piece for c in calendars for piece in between(c, [(first, last)]))
    for around in (first, last, day):
        for reading in _readings(around)[::7]:
            inside = first <= reading.date() <= last
            assert _any(bounded, reading) == (inside and _any(calendars, reading))


@settings(deadline=None, max_examples=25)
@given(cron_texts(), dates, st.integers(0, 23))
def test_without_hour_leaves_out_that_hour_only(text: str, day: date, hour: int) -> None:
    """The other hours of the day and the same hour of other days stay."""
    calendars = compile_cron(parse_cron(text))
    cut = tuple(piece for c in calendars for piece in without_hour(c, day, hour))
    for reading in [*_readings(day), *_readings(day + 365 * _DAY), *_readings(day + 31 * _DAY)]:
        gone = reading.date() == day and reading.hour == hour
        assert _any(cut, reading) == (not gone and _any(calendars, reading))


@settings(deadline=None, max_examples=20)
@given(st.sets(st.tuples(st.integers(0, 23), st.integers(0, 59)), min_size=1, max_size=30))
def test_at_says_each_time_once(times: set[tuple[int, int]]) -> None:
    """The calendars match the given times of day, none of them twice."""
    calendars = at(Calendar(), times)
    for hour in range(24):
        for minute in range(60):
            reading = datetime(2027, 1, 1, hour, minute)  # noqa: DTZ001
            matches = sum(calendar_matches(calendar, reading) for calendar in calendars)
            assert matches == ((hour, minute) in times)


@settings(deadline=None, max_examples=40)
@given(cron_texts(), dates)
def test_what_may_not_match_does_not(text: str, day: date) -> None:
    """A calendar that may not match on a date matches at none of its readings."""
    for calendar in compile_cron(parse_cron(text)):
        if not may_match(calendar, [day]):
            assert not any(
                calendar_matches(calendar, reading)
                for reading in _readings(day)
                if reading.date() == day
            )
