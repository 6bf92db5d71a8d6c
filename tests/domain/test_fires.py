"""Fire times: through clock changes, in order, once each, and fast to the end of time."""

import itertools
import re
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cron import CronExpression, parse_cron
from domain.fires import cron_times, interval_times, merge_times
from tests.domain.test_cron import cron_texts

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_UTC_ZONE = ZoneInfo("UTC")

# A zone and the UTC day of a transition in it.
_TRANSITIONS = [
    ("UTC", "2026-03-29"),
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("Europe/Dublin", "2026-10-25"),  # negative DST: winter is the exception
    ("Europe/London", "2026-03-29"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("America/Santiago", "2026-04-05"),  # 24:00 back to 23:00
    ("America/Santiago", "2026-09-06"),  # 00:00 does not exist
    ("Asia/Beirut", "2026-03-28"),  # 00:00 does not exist
    ("America/St_Johns", "2010-03-14"),  # 00:01 to 01:01
    ("America/St_Johns", "2010-11-07"),  # 00:01 back into the day before
    ("Australia/Lord_Howe", "2026-04-04"),  # half an hour
    ("Australia/Lord_Howe", "2026-10-03"),
    ("Australia/Adelaide", "2026-10-03"),
    ("Pacific/Chatham", "2026-04-04"),  # +13:45
    ("Pacific/Chatham", "2026-09-26"),
    ("Antarctica/Troll", "2026-03-29"),  # two hours
    ("Antarctica/Troll", "2026-10-25"),
    ("Africa/Casablanca", "2026-02-15"),  # Ramadan
    ("Pacific/Apia", "2011-12-30"),  # a whole day that never was
    ("Pacific/Kwajalein", "1969-09-30"),  # most of a day twice
    ("Asia/Pyongyang", "2015-08-14"),  # the offset changes for good
    ("Asia/Pyongyang", "2018-05-04"),
    ("America/Caracas", "2016-05-01"),
]


# Every zone is looked at around each of its transitions of these years.
_YEARS = (2025, 2026, 2027)
_ZONES = (
    *("UTC", "Africa/Cairo", "Africa/Casablanca", "Africa/Lagos", "America/Adak"),
    *("America/Argentina/Buenos_Aires", "America/Asuncion", "America/Havana", "America/Nuuk"),
    *("America/Los_Angeles", "America/New_York", "America/Phoenix", "America/Santiago"),
    *("America/Sao_Paulo", "America/St_Johns", "Antarctica/Troll", "Asia/Beirut", "Asia/Gaza"),
    *("Asia/Jerusalem", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Shanghai", "Asia/Tehran"),
    *("Asia/Yangon", "Atlantic/Azores", "Australia/Adelaide", "Australia/Darwin"),
    *("Australia/Eucla", "Australia/Lord_Howe", "Australia/Sydney", "Europe/Berlin"),
    *("Europe/Chisinau", "Europe/Dublin", "Europe/London", "Pacific/Auckland", "Pacific/Chatham"),
    *("Pacific/Easter", "Pacific/Kiritimati", "Pacific/Marquesas", "Pacific/Norfolk"),
)
_SPECIAL_ITEM = re.compile(r".*[LW#].*")


_Clock: TypeAlias = list[tuple[datetime, datetime]]


@cache
def _clock(zone: str, day: str, around: int) -> _Clock:
    """Every minute of `day` and of `around` days on both sides: (instant, reading of the clock)."""
    first = datetime.fromisoformat(day).replace(tzinfo=UTC) - around * _DAY
    instants = [first + n * _MINUTE for n in range((2 * around + 1) * 24 * 60)]
    return [(at, at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for at in instants]


@lru_cache(maxsize=64)
def _readings(
    zone: str, day: str, around: int
) -> tuple[_Clock, dict[datetime, datetime], list[datetime]]:
    """The clock, the first instant of each of its readings, and all readings with those skipped."""
    clock = _clock(zone, day, around)
    first_pass: dict[datetime, datetime] = {}
    for instant, local in clock:
        first_pass.setdefault(local, instant)
    span = max(first_pass) - clock[0][1]
    return clock, first_pass, [clock[0][1] + n * _MINUTE for n in range(span // _MINUTE + 1)]


@cache
def _transition_days(zone: str) -> list[str]:
    """The UTC days of `_YEARS` in which the offset changes; for zones without any, six days."""
    start = datetime(_YEARS[0], 1, 1, tzinfo=UTC)
    days = [start + n * _DAY for n in range((_YEARS[-1] - _YEARS[0] + 1) * 366)]
    offsets = [day.astimezone(ZoneInfo(zone)).utcoffset() for day in days]
    changes = [
        day for day, (a, b) in zip(days, itertools.pairwise(offsets), strict=False) if a != b
    ]
    found = [f"{day:%Y-%m-%d}" for day in changes]
    return found or [f"{year}-{day}" for year in _YEARS for day in ("03-29", "10-25")]


@lru_cache(maxsize=2**16)
def _is_special(item: str, day: date) -> bool:
    """True if `day` is the day that `item` names in its month, by looking at the whole month."""
    first = day.replace(day=1)
    month = [at for n in range(31) if (at := first + n * _DAY).month == day.month]
    workdays = [at for at in month if at.strftime("%a") not in {"Sat", "Sun"}]
    if item == "L":
        return day == month[-1]
    if item == "LW":
        return day == workdays[-1]
    if item.startswith("L-"):
        return len([at for at in month if at > day]) == int(item[2:])
    if item.endswith("W"):
        target = [at for at in month if at.day == int(item[:-1])]
        return any(day == min(workdays, key=lambda at: abs(at - near)) for near in target)
    name, nth = item.split("#") if "#" in item else (item[:-1], "last")
    same = [at for at in month if name in {at.strftime("%a").lower(), at.strftime("%w")}]
    same = same or [at for at in month if name == "7" and at.strftime("%a") == "Sun"]
    return day in (same[-1:] if nth == "last" else same[int(nth) - 1 : int(nth)])


def date_matches(cron: CronExpression, day: date) -> bool:
    """True if the day fields of `cron` match `day`; special days are worked out from the text."""
    _, _, of_month, _, of_week = cron.text.split(" ")
    in_month = day.day in cron.days_of_month
    in_week = day.isoweekday() % 7 in cron.days_of_week
    for item in filter(_SPECIAL_ITEM.match, of_month.split(",")):
        in_month |= _is_special(item, day)
    for item in filter(_SPECIAL_ITEM.match, of_week.split(",")):
        in_week |= _is_special(item, day)
    star = of_month.startswith("*") or of_week.startswith("*")
    both_or_either = in_month and in_week if star else in_month or in_week
    return day.month in cron.months and both_or_either


def _walked(cron: CronExpression, zone: str, day: str, around: int = 2) -> list[datetime]:
    """The fires from the start of `day` on, found by looking at every minute."""
    clock, first_pass, readings = _readings(zone, day, around)
    dates = {at.date() for at in readings[:: 24 * 60]} | {readings[-1].date()}
    dates = {at for at in dates if date_matches(cron, at)}
    minutes, hours = set(cron.minutes), set(cron.hours)

    def matches(local: datetime) -> bool:
        return local.minute in minutes and local.hour in hours and local.date() in dates

    if cron.minute_star or cron.hour_star:
        fires = {instant for instant, local in clock if matches(local)}
    else:
        fires = set()
        for nominal in filter(matches, readings):
            after_gap = (at for at, local in clock if local > nominal)
            fires.add(first_pass.get(nominal) or next(after_gap))
    edge = clock[around * 24 * 60][0]
    return sorted(instant for instant in fires if instant > edge)


def _engine(cron: CronExpression, zone: str, day: str, around: int = 2) -> list[datetime]:
    clock = _clock(zone, day, around)
    after, until = clock[around * 24 * 60][0], clock[-1][0]
    return list(cron_times(cron, ZoneInfo(zone), after=after, until=until))


@st.composite
def _texts_near_transitions(draw: st.DrawFn) -> str:
    """Expressions of any shape, of which most fire at night and at the end of a month or week."""
    minute, hour, *days = draw(cron_texts()).split()
    hours = st.sampled_from([hour, "*", "*/2", "0", "1", "2", "23", "0-3", "1,2", "22-4", "2-3/2"])
    dates = st.sampled_from(
        [
            *(" ".join(days), "* * *", "* * 7", "* * sat,sunL", "25-7 * *", "L * 7#2,7#1"),
            *("*/2 * *", "28W,31W,LW * 7L", "*/3 * 5-1", "8-14,L-3,L-6 * 6L", "* 3-10 *"),
        ]
    )
    return f"{minute} {draw(hours)} {draw(dates)}"


def _instants(first_year: int, last_year: int) -> st.SearchStrategy[datetime]:
    start = datetime(first_year, 1, 1, tzinfo=UTC)
    span = datetime(last_year, 1, 1, tzinfo=UTC) - start
    return st.timedeltas(timedelta(0), span).map(lambda passed: start + passed)


def _utc(*texts: str) -> list[datetime]:
    return [datetime.fromisoformat(f"{text}Z") for text in texts]


@pytest.mark.fault(25)
@pytest.mark.parametrize(("zone", "day"), _TRANSITIONS)
@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "*/15 * * * *",
        "30 * * * *",
        "*/20 0-3 * * *",
        "30 2 * * *",
        "0 0 * * *",
        "15,45 0-3,23 * * *",
        "0-59 0-23 * * *",
        "7 3 30 12 5",
    ],
)
def test_fires_are_those_of_a_walk_through_every_minute(zone: str, day: str, text: str) -> None:
    """Around transitions of every kind the engine agrees with looking at each minute."""
    cron = parse_cron(text)
    assert _engine(cron, zone, day) == _walked(cron, zone, day)


@settings(deadline=None, max_examples=120)
@given(cron_texts(), st.sampled_from(_TRANSITIONS))
def test_generated_fires_are_those_of_a_walk(text: str, where: tuple[str, str]) -> None:
    """What holds for chosen expressions around transitions holds for generated ones."""
    cron = parse_cron(text)
    assert _engine(cron, *where) == _walked(cron, *where)


@pytest.mark.parametrize("zone", _ZONES)
@settings(deadline=None, max_examples=4)
@given(_texts_near_transitions())
def test_fires_are_those_of_a_walk_at_all_transitions_of_three_years(zone: str, text: str) -> None:
    """In zones of all kinds, generated expressions fire as the walk says at each transition."""
    cron = parse_cron(text)
    for day in _transition_days(zone):
        assert _engine(cron, zone, day, 1) == _walked(cron, zone, day, 1), day


@pytest.mark.parametrize(
    ("days", "year", "fires"),
    [
        ("L * *", 2027, "01-31 02-28 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31"),
        ("L 2 *", 2028, "02-29"),
        ("L 2 *", 2100, "02-28"),
        ("L-1 2 *", 2100, "02-27"),
        ("L-3 1-4 *", 2028, "01-28 02-26 03-28 04-27"),
        ("L-30 * *", 2026, "01-01 03-01 05-01 07-01 08-01 10-01 12-01"),
        ("1,15,L 2 *", 2026, "02-01 02-15 02-28"),
        # 2026: 31 January is a Saturday, 28 February a Saturday, 31 May a Sunday
        ("LW 1-6 *", 2026, "01-30 02-27 03-31 04-30 05-29 06-30"),
        ("31W 1-6 *", 2026, "01-30 03-31 05-29"),
        # 1 August 2026 is a Saturday, 1 February and 1 March are Sundays
        ("1W * *", 2026, "01-01 02-02 03-02 04-01 05-01 06-01 07-01 08-03 09-01 10-01 11-02 12-01"),
        # 15 February, March and November are Sundays, 15 August is a Saturday
        ("15W 2,3,8,9,11 *", 2026, "02-16 03-16 08-14 09-15 11-16"),
        ("28W 2 *", 2026, "02-27"),
        ("29W 2 *", 2032, "02-27"),  # Sunday 29 February: the Monday is March
        ("30W 1-3 *", 2027, "01-29 03-30"),
        ("1W,2W,3W 8 *", 2026, "08-03"),  # Saturday the 1st, Sunday, Monday
        ("* 1-4 5#2", 2026, "01-09 02-13 03-13 04-10"),
        ("* * fri#5", 2026, "01-30 05-29 07-31 10-30"),
        (
            "* * 7#1",
            2028,
            "01-02 02-06 03-05 04-02 05-07 06-04 07-02 08-06 09-03 10-01 11-05 12-03",
        ),
        (
            "* * friL",
            2026,
            "01-30 02-27 03-27 04-24 05-29 06-26 07-31 08-28 09-25 10-30 11-27 12-25",
        ),
        ("* 2 2L", 2028, "02-29"),
        ("* 2 0L", 2100, "02-28"),
        ("* 1-2 1#1,3#3", 2026, "01-05 01-21 02-02 02-18"),
        ("* 2 mon,5L", 2026, "02-02 02-09 02-16 02-23 02-27"),
        ("13 2,3 5#2", 2026, "02-13 03-13"),
        ("L 1-2 5L", 2026, "01-30 01-31 02-27 02-28"),
        ("*/2 1-3 5#2", 2026, "01-09 02-13 03-13"),
        ("*/2 4-6 5#2", 2026, ""),
        ("*/2,L 1-3 6", 2026, "01-03 01-17 01-31 02-07 02-21 02-28 03-07 03-21"),
    ],
)
def test_special_days_of_known_years(days: str, year: int, fires: str) -> None:
    """Dates read off a wall calendar: `L`, `L-3`, `LW`, `15W`, `5#2` and `5L`, alone and mixed."""
    start = datetime(year, 1, 1, tzinfo=UTC)
    times = cron_times(
        parse_cron(f"0 12 {days}"), _UTC_ZONE, after=start, until=start.replace(year=year + 1)
    )
    assert [f"{fire:%m-%d}" for fire in times] == fires.split()


def test_a_fifth_friday_of_february_comes_every_28_years() -> None:
    """A leap year whose February begins on a Friday is rare, and rarer across 2100."""
    after = datetime(2026, 1, 1, tzinfo=UTC)
    fires = itertools.islice(cron_times(parse_cron("0 0 * 2 5#5"), _UTC_ZONE, after=after), 4)
    assert [fire.date().isoformat() for fire in fires] == [
        "2036-02-29",
        "2064-02-29",
        "2092-02-29",
        "2104-02-29",
    ]


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("text", "zone", "after", "fires"),
    [
        # the spring gap of Berlin, 02:00 to 03:00 local, ends at 01:00 UTC
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-29T00:00",
            ["2026-03-29T01:00", "2026-03-30T00:30"],
        ),
        (
            "0,30 2,3 29 3 *",
            "Europe/Berlin",
            "2026-03-29T00:00",
            ["2026-03-29T01:00", "2026-03-29T01:30"],
        ),
        (
            "*/30 2 29 3 *",
            "Europe/Berlin",
            "2026-03-29T00:00",
            ["2027-03-29T00:00", "2027-03-29T00:30"],
        ),
        # the repeat of Berlin, 02:00 to 03:00 local, is 00:00 to 02:00 UTC
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T00:00",
            ["2026-10-25T00:30", "2026-10-26T01:30"],
        ),
        (
            "*/30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T00:00",
            ["2026-10-25T00:30", "2026-10-25T01:00"],
        ),
        # asked in the second pass, a fixed time of the first pass is over
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T01:10",
            ["2026-10-26T01:30", "2026-10-27T01:30"],
        ),
        # half an hour in Lord Howe, 02:00 to 02:30 local, ends at 15:30 UTC
        (
            "15,45 2 4 10 *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00",
            ["2026-10-03T15:30", "2026-10-03T15:45"],
        ),
        # Apia went from the end of 29 December to 31 December 00:00 local, 10:00 UTC
        ("0 2 * * *", "Pacific/Apia", "2011-12-29T12:30", ["2011-12-30T10:00", "2011-12-30T12:00"]),
        (
            "0 2,14 30 12 *",
            "Pacific/Apia",
            "2011-01-01T00:00",
            ["2011-12-30T10:00", "2012-12-29T12:00"],
        ),
        (
            "*/5 * 30 12 *",
            "Pacific/Apia",
            "2011-01-01T00:00",
            ["2012-12-29T10:00", "2012-12-29T10:05"],
        ),
    ],
)
def test_dst_follows_crontab(text: str, zone: str, after: str, fires: list[str]) -> None:
    """A fixed time runs once, after the gap or on the first pass; others follow the clock."""
    times = cron_times(parse_cron(text), ZoneInfo(zone), after=_utc(after)[0])
    assert list(itertools.islice(times, 2)) == _utc(*fires)


def test_a_fire_after_the_gap_is_in_bounds_by_its_instant() -> None:
    """A fixed time inside the gap counts as of the end of the gap, for both bounds."""
    cron, berlin = parse_cron("15 2 * * *"), ZoneInfo("Europe/Berlin")
    before, gap_end = _utc("2026-03-29T00:30", "2026-03-29T01:00")
    almost = gap_end - timedelta(microseconds=1)
    assert list(cron_times(cron, berlin, after=before, until=almost)) == []
    assert list(cron_times(cron, berlin, after=almost, until=gap_end)) == [gap_end]
    assert list(cron_times(cron, berlin, after=gap_end, until=gap_end + timedelta(hours=1))) == []


@settings(deadline=None, max_examples=80)
@given(
    cron_texts(),
    st.sampled_from(sorted({zone for zone, _ in _TRANSITIONS})),
    _instants(1975, 2060),
    st.data(),
)
def test_a_stream_may_be_cut_anywhere(
    text: str, zone: str, after: datetime, data: st.DataObject
) -> None:
    """Fires are increasing, in bounds, and the same when the stream is resumed at any point."""
    cron, tz = parse_cron(text), ZoneInfo(zone)
    fires = list(itertools.islice(cron_times(cron, tz, after=after), 20))
    assert all(a < b for a, b in itertools.pairwise([after, *fires]))
    assert all(fire.tzinfo is UTC for fire in fires)
    cut = data.draw(st.integers(0, len(fires) - 1))
    assert list(cron_times(cron, tz, after=after, until=fires[cut])) == fires[: cut + 1]
    resumed = cron_times(cron, tz, after=fires[cut], until=fires[-1])
    assert list(resumed) == fires[cut + 1 :]
    just_before = fires[cut] - timedelta(microseconds=1)
    assert next(cron_times(cron, tz, after=just_before)) == fires[cut]


@pytest.mark.fault(25)
def test_leap_days_come_in_leap_years_until_the_end() -> None:
    """29 February comes in leap years only, and the stream ends by itself in the year 9999."""
    after = datetime(2026, 1, 1, tzinfo=UTC)
    years = [fire.year for fire in cron_times(parse_cron("0 0 29 2 *"), _UTC_ZONE, after=after)]
    assert years[:3] == [2028, 2032, 2036]
    assert 2100 not in years
    assert years[-1] == 9996


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Berlin"])
@pytest.mark.parametrize("text", ["* * * * *", "0 0 * * *", "0 12 31 12 *", "0 0 1 1 *"])
def test_the_ends_of_the_calendar_are_safe(zone: str, text: str) -> None:
    """The first and last representable instants neither fail nor loop."""
    cron, tz = parse_cron(text), ZoneInfo(zone)
    first = datetime.min.replace(tzinfo=UTC)
    last = datetime.max.replace(tzinfo=UTC)
    assert next(cron_times(cron, tz, after=first)).year <= 2
    assert list(cron_times(cron, tz, after=last)) == []
    assert list(cron_times(cron, tz, after=last, until=first)) == []
    assert list(cron_times(cron, tz, after=first, until=first)) == []


@pytest.mark.parametrize(
    ("zone", "year"), [("Africa/Monrovia", 1972), ("Europe/Amsterdam", 1937), ("Asia/Manila", 1844)]
)
def test_offsets_with_seconds_keep_whole_local_minutes(zone: str, year: int) -> None:
    """Where offsets had seconds, each fire is a whole minute locally or the end of a gap."""
    tz, start = ZoneInfo(zone), datetime(year, 1, 1, tzinfo=UTC)
    end = start.replace(year=year + 1)
    fires = list(cron_times(parse_cron("30 */6 * * *"), tz, after=start, until=end))
    assert all(fire.astimezone(tz).minute == 30 for fire in fires)
    assert all(fire.astimezone(tz).second == 0 for fire in fires)
    nightly = list(cron_times(parse_cron("30 0 * * *"), tz, after=start, until=end))
    assert 364 <= len(nightly) <= 367


def test_bounds_need_a_zone() -> None:
    """A naive bound is refused at the call, not at the first fire."""
    cron = parse_cron("@daily")
    aware, naive = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(ValueError, match="need a zone"):
        cron_times(cron, _UTC_ZONE, after=naive)
    with pytest.raises(ValueError, match="need a zone"):
        interval_times(timedelta(hours=1), timedelta(0), after=aware, until=naive)


def test_bounds_in_another_zone_name_the_same_instants() -> None:
    """Bounds may be in any zone; fires are in UTC all the same."""
    after = datetime(2026, 1, 1, 8, tzinfo=ZoneInfo("Asia/Shanghai"))
    times = cron_times(parse_cron("0 8 * * *"), ZoneInfo("Asia/Shanghai"), after=after)
    assert next(times) == datetime(2026, 1, 2, 0, tzinfo=UTC)


@settings(deadline=None, max_examples=150)
@given(
    st.timedeltas(timedelta(seconds=1), timedelta(days=400)),
    st.timedeltas(timedelta(days=-400), timedelta(days=400)),
    _instants(1960, 2100),
)
def test_intervals_count_from_the_epoch(
    every: timedelta, offset: timedelta, after: datetime
) -> None:
    """Interval times are exactly the instants a whole number of periods after epoch + offset."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    until = after + 5 * every
    fires = list(interval_times(every, offset, after=after, until=until))
    assert len(fires) == 5
    assert all(after < fire <= until for fire in fires)
    assert all((fire - epoch - offset) % every == timedelta(0) for fire in fires)


def test_an_interval_must_be_positive_and_ends_cleanly() -> None:
    """A period of zero is refused; a stream without bound ends with the year 9999."""
    after = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="positive"):
        interval_times(timedelta(0), timedelta(0), after=after)
    decades = list(interval_times(timedelta(days=3650), timedelta(0), after=after))
    assert decades[-1].year > 9980


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sets(st.integers(0, 50)), max_size=4))
def test_merging_is_an_ordered_union(minute_sets: list[set[int]]) -> None:
    """Merged streams hold every instant of any stream, once, in order."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    streams = [iter([epoch + n * _MINUTE for n in sorted(minutes)]) for minutes in minute_sets]
    union = sorted(set().union(*minute_sets))
    assert list(merge_times(*streams)) == [epoch + n * _MINUTE for n in union]


def test_merging_is_lazy() -> None:
    """Endless streams can be merged: only what is asked for is computed."""
    after = datetime(2026, 1, 1, tzinfo=UTC)
    hourly = cron_times(parse_cron("@hourly"), _UTC_ZONE, after=after)
    often = interval_times(timedelta(minutes=30), timedelta(0), after=after)
    merged = list(itertools.islice(merge_times(hourly, often), 4))
    assert merged == [after + n * timedelta(minutes=30) for n in range(1, 5)]
