"""Calendars: what a cron expression becomes for Temporal, against croniter as the reference."""

import re
from calendar import monthrange
from dataclasses import replace
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
from domain.cron import CronError, parse_cron
from domain.fires import cron_times
from tests.domain.test_cron import cron_texts
from tests.domain.test_fires import date_matches

_DAY = timedelta(days=1)
_START = datetime(2026, 1, 1, tzinfo=UTC)
_RANGE = re.compile(r"(\w+)-(\w+)(/\d+)?")


_WEEK = 7


def croniter_differs(text: str) -> bool:
    """True for the expressions that croniter reads in another way than Vixie cron.

    - Both ends of a range equal: `5-5` is 5 in crontab(5), croniter takes it for the whole cycle;
      the ends may be written differently (`wed-3`, `7-0`).
    - A range that wraps and has a step: croniter loses count of the steps at the end of the field
      (`3-1/2` in minutes lacks minute 1), while a wrapping range without a step agrees.
    - Days of the week that are all named, as in `0-6`: crontab(5) looks for a star at the beginning
      of the field, croniter takes it for one.
    """
    weekdays = text.split()[4]
    if not weekdays.startswith("*") and len(parse_cron(text).days_of_week) == _WEEK:
        return True
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


def _match(calendars: tuple[Calendar, ...], at: datetime) -> bool:
    return any(calendar_matches(calendar, at) for calendar in calendars)


@settings(deadline=None, max_examples=120)
@given(cron_texts(special=False))
def test_fires_in_utc_are_those_of_croniter(text: str) -> None:
    """Away from clock changes the next fires are the reference's."""
    assume(not croniter_differs(text))
    reference = _reference(text, _START)
    fires = list(islice(cron_times(parse_cron(text), ZoneInfo("UTC"), after=_START), 10))
    assert fires == [reference.get_next() for _ in fires]


@settings(deadline=None, max_examples=40)
@given(cron_texts(special=False), st.integers(0, 5))
def test_compiled_calendars_fire_as_croniter_says(text: str, skip: int) -> None:
    """On days with fires and on the days around them, the calendars match croniter's minutes."""
    assume(not croniter_differs(text))
    cron, reference = parse_cron(text), _reference(text, _START)
    calendars = compile_cron(cron)
    for _ in range(skip):
        reference.get_next()
    day = reference.get_next().replace(hour=0, minute=0)
    minutes = [day + n * timedelta(minutes=1) for n in range(24 * 60)]
    reference.set_current(day - timedelta(minutes=1))
    expected = []
    while (fire := reference.get_next()) < day + _DAY:
        expected.append(fire)
    assert [at for at in minutes if _match(calendars, at)] == expected
    for days in range(-20, 20):
        at = day + days * _DAY + timedelta(hours=cron.hours[0], minutes=cron.minutes[0])
        reference.set_current(at - timedelta(minutes=1))
        assert _match(calendars, at) == (reference.get_next() == at)


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
    calendars = compile_cron(parse_cron(text))
    month = [_START + n * _DAY for n in range(31)]
    matched = {at.day for at in month if _match(calendars, at)}
    assert matched == days


# A month of every shape (length and first weekday), as late as there is one until 2100, and the
# Februaries at both ends of those years and around the leap day that 2100 does not have.
_SHAPES = {monthrange(y, month): (y, month) for y in range(2000, 2101) for month in range(1, 13)}
_FEBRUARIES = {(year, 2) for year in (2000, 2001, 2003, 2004, 2096, 2097, 2099, 2100)}
_SAMPLE = sorted({*_SHAPES.values(), *_FEBRUARIES})


@settings(deadline=None, max_examples=60)
@given(cron_texts())
def test_calendars_engine_and_walk_agree_on_every_shape_of_month(text: str) -> None:
    """The days that compiled calendars match are those of the engine and of looking at each day."""
    cron = parse_cron(text)
    once = parse_cron(" ".join((str(cron.minutes[0]), str(cron.hours[0]), *text.split()[2:])))
    calendars = compile_cron(once)
    for year, month in _SAMPLE:
        start = datetime(year, month, 1, once.hours[0], once.minutes[0], tzinfo=UTC)
        days = [start + n * _DAY for n in range(monthrange(year, month)[1])]
        walked = [at for at in days if date_matches(cron, at.date())]
        assert [at for at in days if _match(calendars, at)] == walked
        fires = cron_times(once, ZoneInfo("UTC"), after=start - _DAY / 24, until=days[-1])
        assert list(fires) == walked


@pytest.mark.parametrize("days", ["L 2 *", "LW 2 *", "28W 2 *", "29W 2 *", "* 2 5L", "* 2 5#5"])
def test_february_is_right_in_each_year_that_calendars_know(days: str) -> None:
    """From 2000 to 2100, which is no leap year, no year is missing and none is there twice."""
    cron = parse_cron(f"0 0 {days}")
    calendars = compile_cron(cron)
    start, end = datetime(1999, 12, 31, tzinfo=UTC), datetime(2100, 12, 31, tzinfo=UTC)
    each_day = (start + n * _DAY for n in range((end - start).days + 1))
    in_february = [at for at in each_day if at.month == 2]
    matched = [at for at in in_february if _match(calendars, at)]
    assert matched == list(cron_times(cron, ZoneInfo("UTC"), after=start, until=end))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0 0 L * *", 4),
        ("0 0 L 1,3,4 *", 2),
        ("0 0 L 2 *", 2),
        ("0 0 1,15,L * *", 4),
        ("0 0 LW * *", 8),
        ("0 0 15W * *", 3),
        ("0 0 1W * *", 2),
        ("0 0 1W,15W * *", 3),
        ("0 0 15,15W * *", 3),
        ("0 0 * * 5#2", 1),
        ("0 0 * * 5#5", 1),
        ("0 0 * * 1#1,3#1", 1),
        ("0 0 * * 1#1,3#3", 2),
        ("0 0 * * 5L", 4),
        ("0 0 * * mon-fri,5L", 1),
        ("0 0 13 * 5#2", 2),
        ("0 0 L * 0-6", 1),
    ],
)
def test_special_days_need_few_calendars(text: str, count: int) -> None:
    """Months of one length share a calendar, what holds in all of them needs one only."""
    calendars = compile_cron(parse_cron(text))
    assert len(calendars) == count
    assert {calendar.comment for calendar in calendars} == {text}


def test_the_last_friday_as_calendars() -> None:
    """`5L` is Friday and the last seven days, by length of month; one part needs years."""
    long, short, february, common = compile_cron(parse_cron("30 2 * * 5L"))
    at = Calendar(
        minute=(Range(30, 30),),
        hour=(Range(2, 2),),
        day_of_week=(Range(5, 5),),
        comment="30 2 * * 5L",
    )
    assert long == replace(
        at, day_of_month=(Range(25, 31),), month=(Range(1, 7, 2), Range(8, 12, 2))
    )
    assert short.day_of_month == (Range(24, 30),)
    assert [m for m in range(1, 13) if any(m in r for r in short.month)] == [4, 6, 9, 11]
    assert february == replace(at, day_of_month=(Range(23, 29),), month=(Range(2, 2),))
    years = (Range(2001, 2097, 4), Range(2002, 2098, 4), Range(2003, 2099, 4), Range(2100, 2100))
    assert common == replace(february, day_of_month=(Range(22, 28),), year=years)


@st.composite
def _texts_that_croniter_shares(draw: st.DrawFn) -> str:
    """Expressions with special days that croniter knows and reads as we do.

    Left out, with the reason:
    - `LW` and `L-3`: croniter does not know them;
    - `29W`, `30W`, `31W`: in a month without the day croniter takes the last weekday, not none;
    - `15W` in a list, `mon,5L`, `5#2,5`: croniter refuses to mix these with other values;
    - `13 * 5#2` and `15W * 5`: with `W` or `#` croniter means AND, not Vixie's OR.
    """
    minute, hour, *_ = draw(cron_texts(special=False)).split()
    month = draw(st.sampled_from(["*", "2", "1-6", "2,4", "*/5"]))
    days = draw(st.lists(st.integers(1, 31).map(str), max_size=2))
    nearest = st.integers(1, 28).map("{}W".format)
    weekdays = st.sampled_from(["*", "1", "5-7", "*/3", "mon,fri"])
    nth = st.builds("{}#{}".format, st.sampled_from(["0", "mon", "3", "5"]), st.integers(1, 5))
    last = st.integers(0, 7).map("{}L".format)
    special = st.lists(nth, min_size=1, max_size=3) | st.lists(last, min_size=1, max_size=3)
    if draw(st.booleans()):
        return f"{minute} {hour} {','.join([*days, 'L'])} {month} {draw(weekdays)}"
    if draw(st.booleans()):
        return f"{minute} {hour} {draw(nearest)} {month} {draw(st.sampled_from(['*', '*/3']))}"
    return (
        f"{minute} {hour} {draw(st.sampled_from(['*', '*/2']))} {month} {','.join(draw(special))}"
    )


@settings(deadline=None, max_examples=120)
@given(_texts_that_croniter_shares())
def test_special_days_are_those_of_croniter(text: str) -> None:
    """Where croniter knows a special day and means the same, the fires are the same."""
    assume(not croniter_differs(text))
    try:
        cron = parse_cron(text)
    except CronError as refusal:
        assume("never" not in str(refusal))
        raise
    reference = _reference(re.sub(r"\b(\d)L", r"L\1", text), _START)  # croniter's spelling of 5L
    fires = list(islice(cron_times(cron, ZoneInfo("UTC"), after=_START), 8))
    assert fires == [reference.get_next() for _ in fires]


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
