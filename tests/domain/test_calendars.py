"""Calendars: what a cron expression becomes for Temporal, against croniter as the reference."""

import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter  # type: ignore[import-untyped]
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.calendars import (
    Calendar,
    Range,
    calendar_matches,
    compile_cron,
    compress,
    one_off_calendar,
)
from domain.cron import CronExpression, parse_cron
from domain.fires import cron_times
from tests.domain.test_cron import cron_texts

_DAY = timedelta(days=1)
_START = datetime(2026, 1, 1, tzinfo=UTC)
_RANGE = re.compile(r"(\w+)-(\w+)(/\d+)?")


def _croniter_differs(text: str) -> bool:
    """True for the expressions that croniter reads in another way than Vixie cron.

    - Both ends of a range equal: `5-5` is 5 in crontab(5), croniter takes it for the whole cycle;
      the ends may be written differently (`wed-3`, `7-0`).
    - A range that wraps and has a step: croniter loses count of the steps at the end of the field
      (`3-1/2` in minutes lacks minute 1), while a wrapping range without a step agrees.
    """
    for place, field in enumerate(text.lower().split()):
        for first, last, step in _RANGE.findall(field):
            low, high = _number(place, first), _number(place, last)
            if (low == high and (first, last) != ("0", "7")) or (step and low > high):
                return True
    return False


def _number(place: int, token: str) -> int:
    fields = ["0", "0", "1", "*", "*"]
    fields[place] = token
    cron = parse_cron(" ".join(fields))
    values = (cron.minutes, cron.hours, cron.days_of_month, cron.months, cron.days_of_week)
    return values[place][0]


def _reference(text: str, start: datetime) -> croniter:
    # Vixie's rule for `*/2` in a day field is croniter's `implement_cron_bug`.
    return croniter(text, start, ret_type=datetime, implement_cron_bug=True)


def _calendars_match(cron: CronExpression, at: datetime) -> bool:
    return any(calendar_matches(calendar, at) for calendar in compile_cron(cron))


@settings(deadline=None, max_examples=120)
@given(cron_texts())
def test_fires_in_utc_are_those_of_croniter(text: str) -> None:
    """Away from clock changes the next fires are the reference's."""
    assume(not _croniter_differs(text))
    reference = _reference(text, _START)
    fires = list(islice(cron_times(parse_cron(text), ZoneInfo("UTC"), after=_START), 10))
    assert fires == [reference.get_next() for _ in fires]


@settings(deadline=None, max_examples=40)
@given(cron_texts(), st.integers(0, 5))
def test_compiled_calendars_fire_as_croniter_says(text: str, skip: int) -> None:
    """On days with fires and on the days around them, the calendars match croniter's minutes."""
    assume(not _croniter_differs(text))
    cron, reference = parse_cron(text), _reference(text, _START)
    for _ in range(skip):
        reference.get_next()
    day = reference.get_next().replace(hour=0, minute=0)
    minutes = [day + n * timedelta(minutes=1) for n in range(24 * 60)]
    reference.set_current(day - timedelta(minutes=1))
    expected = []
    while (fire := reference.get_next()) < day + _DAY:
        expected.append(fire)
    assert [at for at in minutes if _calendars_match(cron, at)] == expected
    for days in range(-20, 20):
        at = day + days * _DAY + timedelta(hours=cron.hours[0], minutes=cron.minutes[0])
        reference.set_current(at - timedelta(minutes=1))
        assert _calendars_match(cron, at) == (reference.get_next() == at)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 0 5-5 * *", {5}),
        ("0 0 * * wed-3", {7, 14, 21, 28}),
        ("0 0 * * 7-0", {4, 11, 18, 25}),
        ("0 0 * * tue-mon/3", {2, 5, 6, 9, 12, 13, 16, 19, 20, 23, 26, 27, 30}),
        ("0 0 30-4/2 * *", {1, 3, 30}),
    ],
)
def test_what_croniter_reads_differently_is_as_vixie_means_it(text: str, days: set[int]) -> None:
    """The expressions kept from the comparison above match the days of January 2026 they name."""
    cron = parse_cron(text)
    month = [_START + n * _DAY for n in range(31)]
    matched = {at.day for at in month if _calendars_match(cron, at)}
    assert matched == days


def test_one_calendar_unless_two_are_meant() -> None:
    """Day-of-month OR day-of-week needs two calendars; star fields and full fields need one."""
    either = compile_cron(parse_cron("0 0 13 * 5"))
    assert either == (
        Calendar(day_of_month=(Range(13, 13),), comment="0 0 13 * 5"),
        Calendar(day_of_week=(Range(5, 5),), comment="0 0 13 * 5"),
    )
    both = compile_cron(parse_cron("0 0 */2 * 5"))
    assert both == (
        Calendar(
            day_of_month=(Range(1, 31, 2),), day_of_week=(Range(5, 5),), comment="0 0 */2 * 5"
        ),
    )
    assert len(compile_cron(parse_cron("0 0 1-31 * 5"))) == 1
    assert len(compile_cron(parse_cron("0 0 13 * 0-6"))) == 1


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("*", (Range(0, 59),)),
        ("*/15", (Range(0, 59, 15),)),
        ("0,15,30,45", (Range(0, 59, 15),)),
        ("0,15,30", (Range(0, 30, 15),)),
        ("5-59/15", (Range(5, 50, 15),)),
        ("0,30", (Range(0, 0), Range(30, 30))),
        ("1,2", (Range(1, 2),)),
        ("58-2", (Range(0, 2), Range(58, 59))),
        ("1,3,5,6,7,8", (Range(1, 5, 2), Range(6, 8))),
        ("0,10,11,12,50", (Range(0, 0), Range(10, 12), Range(50, 50))),
    ],
)
def test_ranges_read_as_a_person_would_write_them(text: str, ranges: tuple[Range, ...]) -> None:
    """Runs and even steps become one range each; `*/15` stays recognisable."""
    assert compile_cron(parse_cron(f"{text} * * * *"))[0].minute == ranges


@settings(deadline=None, max_examples=200)
@given(st.sets(st.integers(0, 59), min_size=1))
def test_compression_keeps_the_values(values: set[int]) -> None:
    """Ranges hold exactly the values, each in one range, and are never more than the values."""
    ranges = compress(sorted(values), 0, 59)
    expanded = [v for r in ranges for v in range(r.start, r.end + 1, r.step)]
    assert expanded == sorted(values)
    assert [v for v in range(60) if any(v in r for r in ranges)] == sorted(values)
    assert all(0 <= r.start <= r.end <= 59 for r in ranges)


def test_a_calendar_by_default_is_midnight_every_day() -> None:
    """An empty calendar matches 00:00:00 of any day and nothing else."""
    assert calendar_matches(Calendar(), _START)
    assert not calendar_matches(Calendar(), _START + timedelta(seconds=1))
    assert not calendar_matches(Calendar(), _START + timedelta(minutes=1))
    assert not calendar_matches(Calendar(), _START + timedelta(hours=1))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 10**9))
def test_a_one_off_matches_one_second(seconds: int, other: int) -> None:
    """A one-off calendar matches its instant in UTC and no other second."""
    at = datetime.fromtimestamp(seconds, UTC)
    calendar = one_off_calendar(at.astimezone(ZoneInfo("Pacific/Chatham")))
    assert calendar == one_off_calendar(at)
    assert calendar_matches(calendar, at)
    assert not calendar_matches(calendar, at + timedelta(seconds=other))
    assert not calendar_matches(calendar, at.replace(year=at.year + 28))


def test_a_one_off_needs_a_zone_and_a_whole_second() -> None:
    """What a calendar cannot say is refused instead of being rounded."""
    with pytest.raises(ValueError, match="zone"):
        one_off_calendar(_START.replace(tzinfo=None))
    with pytest.raises(ValueError, match="whole second"):
        one_off_calendar(_START.replace(microsecond=1))
