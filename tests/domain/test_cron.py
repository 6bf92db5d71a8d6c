"""Parsing of cron expressions: what they mean and what is refused, with what advice."""

from contextlib import suppress

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.cron import MAX_LENGTH, CronError, CronExpression, parse_cron
from domain.month_days import (
    LastDay,
    LastWeekday,
    LastWorkday,
    NearestWorkday,
    NthWeekday,
    SpecialDay,
)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def _field_texts(
    low: int, high: int, names: tuple[str, ...] = (), *special: st.SearchStrategy[str]
) -> st.SearchStrategy[str]:
    values = st.integers(low, high).map(str)
    if names:
        values |= st.sampled_from(names + tuple(name.upper() for name in names))
    steps = st.integers(1, high).map(str)
    ranges = st.builds("{}-{}".format, values, values)
    items = st.one_of(
        values,
        ranges,
        st.builds("{}/{}".format, ranges, steps),
        st.builds("*/{}".format, steps),
        *special,
    )
    return st.just("*") | st.lists(items, min_size=1, max_size=3).map(",".join)


_SPECIAL_DAYS = st.one_of(
    st.sampled_from(["L", "l", "LW", "lw"]),
    st.builds("L-{}".format, st.integers(1, 30)),
    st.builds("{}W".format, st.integers(1, 31)),
)
_WEEKDAYS = st.integers(0, 7).map(str) | st.sampled_from(_DAYS)
_SPECIAL_WEEKDAYS = st.one_of(
    st.builds("{}#{}".format, _WEEKDAYS, st.integers(1, 5)),
    st.builds("{}L".format, _WEEKDAYS),
)
_FIELDS = (
    _field_texts(0, 59),
    _field_texts(0, 23),
    _field_texts(1, 31),
    _field_texts(1, 12, _MONTHS),
    _field_texts(0, 7, _DAYS),
)
_SPECIAL_FIELDS = (
    *_FIELDS[:2],
    _field_texts(1, 31, (), _SPECIAL_DAYS, _SPECIAL_DAYS),
    _FIELDS[3],
    _field_texts(0, 7, _DAYS, _SPECIAL_WEEKDAYS, _SPECIAL_WEEKDAYS),
)


@st.composite
def cron_texts(draw: st.DrawFn, *, special: bool = True) -> str:
    """Valid five-field expressions of every shape that is known; crontab(5)'s if not `special`."""
    text = " ".join(draw(field) for field in (_SPECIAL_FIELDS if special else _FIELDS))
    try:
        parse_cron(text)
    except CronError as refusal:
        assume("never" not in str(refusal))
        raise
    return text


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("7", (7,)),
        ("007", (7,)),
        ("5,3,3", (3, 5)),
        ("*/15", (0, 15, 30, 45)),
        ("*/90", (0,)),
        ("10-50/10", (10, 20, 30, 40, 50)),
        ("8-8", (8,)),
        ("57-2", (0, 1, 2, 57, 58, 59)),
        ("50-10/7", (4, 50, 57)),
        ("*/30,15,40-41", (0, 15, 30, 40, 41)),
    ],
)
def test_minutes_are_lists_of_values_ranges_and_steps(text: str, minutes: tuple[int, ...]) -> None:
    """A minute field means the values that crontab(5) gives it; ranges wrap, steps go along."""
    assert parse_cron(f"{text} * * * *").minutes == minutes


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0", (0,)),
        ("7", (0,)),
        ("0,7", (0,)),
        ("7-7", (0,)),
        ("0-7", (0, 1, 2, 3, 4, 5, 6)),
        ("1-7", (0, 1, 2, 3, 4, 5, 6)),
        ("5-7", (0, 5, 6)),
        ("7-2", (0, 1, 2)),
        ("6-0", (0, 6)),
        ("fri-mon", (0, 1, 5, 6)),
        ("Sat-SUN", (0, 6)),
        ("sun-sat", (0, 1, 2, 3, 4, 5, 6)),
        ("mon,WED,5", (1, 3, 5)),
        ("mon-5", (1, 2, 3, 4, 5)),
        ("fri-mon/2", (0, 5)),
        ("5-2/2", (0, 2, 5)),
        ("1-7/2", (0, 1, 3, 5)),
        ("*/2", (0, 2, 4, 6)),
        ("*/7", (0,)),
    ],
)
def test_days_of_week_know_names_and_two_numbers_for_sunday(
    text: str, days: tuple[int, ...]
) -> None:
    """In day-of-week 0 and 7 are Sunday, alone and at either end of ranges that may wrap."""
    assert parse_cron(f"0 0 * * {text}").days_of_week == days


@pytest.mark.parametrize(
    ("text", "hours", "days", "months"),
    [
        ("0 22-2 * * *", (0, 1, 2, 22, 23), tuple(range(1, 32)), tuple(range(1, 13))),
        ("0 20-4/3 * * *", (2, 20, 23), tuple(range(1, 32)), tuple(range(1, 13))),
        ("0 0 30-2 nov-feb *", (0,), (1, 2, 30, 31), (1, 2, 11, 12)),
        ("0 0 1 Nov-Feb/2 *", (0,), (1,), (1, 11)),
        ("0 0 1 jan,JUL *", (0,), (1,), (1, 7)),
        ("\t0  0\t1 1-3   * ", (0,), (1,), (1, 2, 3)),
    ],
)
def test_hours_days_and_months_wrap_too(
    text: str, hours: tuple[int, ...], days: tuple[int, ...], months: tuple[int, ...]
) -> None:
    """Every field takes ranges that wrap around its end, and blanks between fields are free."""
    cron = parse_cron(text)
    assert (cron.hours, cron.days_of_month, cron.months) == (hours, days, months)


@pytest.mark.parametrize(
    ("macro", "meaning"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@MIDNIGHT", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@Monthly", "0 0 1 * *"),
        (" @yearly ", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_macros_are_their_five_fields(macro: str, meaning: str) -> None:
    """A macro equals the expression it stands for, in any case of letters."""
    assert parse_cron(macro) == parse_cron(meaning)


@pytest.mark.parametrize(
    ("text", "stars", "either_day", "fixed"),
    [
        ("* * * * *", (True, True, True, True), False, False),
        ("*/2 */2 */2 * */2", (True, True, True, True), False, False),
        ("0-59 0-23 1-31 * 0-6", (False, False, False, False), True, True),
        ("5 *,3 13 * 5", (False, True, False, False), True, False),
        ("5 3,* 3,* * 5", (False, False, False, False), True, True),
        ("5 3 */2 * 5", (False, False, True, False), False, True),
    ],
)
def test_a_field_is_a_star_field_by_its_first_character(
    text: str, stars: tuple[bool, bool, bool, bool], either_day: bool, fixed: bool
) -> None:
    """Star flags follow the text as Vixie cron sets them, whatever the values are."""
    cron = parse_cron(text)
    assert (
        cron.minute_star,
        cron.hour_star,
        cron.day_of_month_star,
        cron.day_of_week_star,
    ) == stars
    assert (cron.either_day, cron.is_fixed_time) == (either_day, fixed)


@pytest.mark.parametrize(
    ("text", "days", "special"),
    [
        ("L", (), (LastDay(),)),
        ("l-3", (), (LastDay(3),)),
        ("lW", (), (LastWorkday(),)),
        ("15w,01W", (), (NearestWorkday(1), NearestWorkday(15))),
        ("1,15,L", (1, 15), (LastDay(),)),
        ("L,LW,l,L-1", (), (LastDay(1), LastDay(), LastWorkday())),
        ("*/10,31W", (1, 11, 21, 31), (NearestWorkday(31),)),
    ],
)
def test_days_of_month_by_the_shape_of_the_month(
    text: str, days: tuple[int, ...], special: tuple[SpecialDay, ...]
) -> None:
    """`L`, `L-3`, `LW` and `15W` stand in day-of-month, alone and in lists, in any case."""
    cron = parse_cron(f"0 0 {text} * *")
    assert (cron.days_of_month, cron.special_days_of_month) == (days, special)


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("text", "weekdays", "special"),
    [
        ("5#2", (), (NthWeekday(5, 2),)),
        ("FRI#2", (), (NthWeekday(5, 2),)),
        ("7#1,0#1", (), (NthWeekday(0, 1),)),
        ("3#3,1#1", (), (NthWeekday(1, 1), NthWeekday(3, 3))),
        ("5l", (), (LastWeekday(5),)),
        ("frIl", (), (LastWeekday(5),)),
        ("7L,sunL", (), (LastWeekday(0),)),
        ("mon,5L", (1,), (LastWeekday(5),)),
    ],
)
def test_weekdays_by_their_place_in_the_month(
    text: str, weekdays: tuple[int, ...], special: tuple[SpecialDay, ...]
) -> None:
    """`5#2` and `5L` stand in day-of-week, by number or name, with two numbers for Sunday."""
    cron = parse_cron(f"0 0 * * {text}")
    assert (cron.days_of_week, cron.special_days_of_week) == (weekdays, special)


def test_the_normal_form_keeps_special_letters_readable() -> None:
    """`L` and `W` stay upper case where the rest is lower: a small l reads as a one."""
    cron = parse_cron("0 0 l,lw,15w,l-3 JUL wed,FRIl,5L,Tue#2")
    assert cron.text == "0 0 L,LW,15W,L-3 jul wed,friL,5L,tue#2"


@pytest.mark.parametrize(
    ("text", "either_day"),
    [
        ("0 0 L * *", False),
        ("0 0 * * 5#2", False),
        ("0 0 13 * 5#2", True),
        ("0 0 15W * fri", True),
        ("0 0 L * 5L", True),
        ("0 0 */2 * 5#2", False),
        ("0 0 */2,L * 5", False),
    ],
)
def test_special_days_follow_the_star_rule(text: str, either_day: bool) -> None:
    """A field of special days does not begin with `*`, unless something before them does."""
    assert parse_cron(text).either_day is either_day


@pytest.mark.fault(25)
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("* * * *", "has 4"),
        ("0 0 * * * *", "seconds and years are not supported"),
        ("0 0 0 * * * 2027", "seconds and years are not supported"),
        ("0 0 * * * # nightly", "comments"),
        ("TZ=UTC 0 0 * * *", "`timezone:`"),
        ("cron_tz=Asia/Tokyo 0 0 * * *", "`timezone:`"),
        ("0 0 * * L", r"day-of-week 'L'.*write 6, 6L"),
        ("0 0 * * 1,l", r"day-of-week 'l'.*write 6, 6L"),
        ("0 0 1-L * *", "day-of-month '1-L'.*15-31"),
        ("0 0 L-5-L * *", "day-of-month 'L-5-L'"),
        ("0 0 1-15W * *", "'1-15W'.*list them"),
        ("0 0 15W-20 * *", "'15W-20'.*list them"),
        ("0 0 L/2 * *", "'L/2'.*list them"),
        ("0 0 */2W * *", r"day-of-month '\*/2W'"),
        ("0 0 15W/2 * *", "'15W/2'.*list them"),
        ("0 0 L-3W * *", "'L-3W'.*list them"),
        ("0 0 LW-3 * *", "'LW-3'.*list them"),
        ("0 0 * * mon-fri#2", "'mon-fri#2'.*list them"),
        ("0 0 * * mon-friL", "'mon-friL'.*list them"),
        ("0 0 * * 5#2/2", "'5#2/2'.*list them"),
        ("0 0 * * 5#0", "'5#0'.*1-5.*`5L`"),
        ("0 0 * * Fri#6", "'Fri#6'.*1-5.*`friL`"),
        ("0 0 * * 5#", "'5#'.*5#2"),
        ("0 0 * * *#2", r"'\*#2'.*5#2"),
        ("0 0 * * 5#L", "'5#L'.* 5L or friL"),
        ("0 0 * * L5", "'L5'.* 5L"),
        ("0 0 * * 8L", "'8L'.*0-7"),
        ("0 0 * * 8#1", "'8#1'.*0-7"),
        ("0 0 * * Friday#1", "'Friday#1'.*write fri"),
        ("0 0 * * FridayL", "'FridayL'.*write fri"),
        ("0 0 * * xyzL", "'xyzL'.*'xyz' is not one of"),
        ("0 0 L-0 * *", "'L-0'.*1-30"),
        ("0 0 L-31 * *", "'L-31'.*1-30"),
        ("0 0 0W * *", "'0W'.*1-31"),
        ("0 0 32W * *", "'32W'.*1-31"),
        ("0 0 W * *", "'W'.*15W"),
        ("0 0 W15 * *", "'W15'.*15W"),
        ("0 0 WL * *", "'WL'.*`LW`"),
        ("0 0 5#2 * *", "day-of-month '5#2'.*day-of-week"),
        ("0 0 friL * *", "day-of-month 'friL'.*day-of-week"),
        ("0 0 * * 15W", "day-of-week '15W'.*day-of-month"),
        ("0 0 * * LW", "day-of-week 'LW'.*day-of-month"),
        ("0 0 * * L-3", "day-of-week 'L-3'.*day-of-month"),
        ("0 0 * L *", "month 'L'.*day-of-month"),
        ("L * * * *", "minute 'L'.*day-of-month"),
        ("* 2#1 * * *", "hour '2#1'.*day-of-week"),
        ("0 0 ? * 1", r"write `\*`"),
        ("H * * * *", "`stagger:`"),
        ("H(0-29)/10 * * * *", "`stagger:`"),
        ("0~30 * * * *", "`stagger:`"),
        ("60 * * * *", "minute '60'.*0-59"),
        ("* 24 * * *", "hour '24'.*0-23"),
        ("* * 0 * *", "day-of-month '0'.*1-31"),
        ("* * 1-32 * *", "day-of-month '1-32'.*1-31"),
        ("* * * 13 *", "month '13'.*1-12 or jan-dec"),
        ("* * * * 8", "day-of-week '8'.*0-7 or sun-sat"),
        ("*/0 * * * *", "step of 0"),
        ("1-5/00 * * * *", "step of 0"),
        ("5/15 * * * *", "write 5-59/15"),
        ("0 0 * * mon/2", "write mon-7/2"),
        ("1,,2 * * * *", "extra comma"),
        ("1, * * * *", "extra comma"),
        ("-5 * * * *", "signs"),
        ("1-2-3 * * * *", "minute '1-2-3'"),
        ("1- * * * *", "minute '1-'"),
        ("** * * * *", r"minute '\*\*'"),
        ("*5 * * * *", r"minute '\*5'"),
        ("1.5 * * * *", "minute '1.5'"),
        ("*/x * * * *", r"minute '\*/x'"),
        ("0 0 * january *", "write jan"),
        ("0 0 * * Monday", "write mon"),
        ("0 0 * mon *", "month 'mon'"),
        ("jan * * * *", "minute 'jan'"),
        ("\uff10 * * * *", "uff10.*ASCII"),
        ("\u0663 * * * *", "u0663.*ASCII"),
        ("*\u00a0* * * *", "xa0.*ASCII"),
        ("\ud800 * * * *", "ud800.*ASCII"),
        ("0 0 * * *\n", r"\\n.*one line"),
        ("0\x00 0 * * *", r"\\x00"),
        ("0 0 30 2 *", "'30' never comes in month '2'.*29 days"),
        ("0 0 31 4,6 *", "'31' never comes in month '4,6'.*30 days"),
        ("0 0 31 feb */2", "never comes"),
        ("0 0 30W 2 *", "'30W' never comes in month '2'.*29 days"),
        ("0 0 31w 4,feb *", "'31W' never comes in month '4,feb'.*30 days"),
        ("0 0 L-29 2 *", "'L-29' never comes in month '2'"),
        ("0 0 L-30 2,4,6,9,11 *", "never comes"),
        ("0 0 */31 * 5#3", r"'\*/31' and day-of-week '5#3' never fall on one day"),
        ("@reboot", "event trigger"),
        ("@every 5m", "`every: 5m`"),
        ("@fortnightly", "@weekly"),
    ],
)
def test_what_is_not_crontab_is_refused_with_advice(text: str, names: str) -> None:
    """A refusal names the field and the bad text, or says what to write instead."""
    with pytest.raises(CronError, match=names):
        parse_cron(text)


@pytest.mark.parametrize(
    "text",
    [
        "0 0 29 2 *",
        "0 0 30 2 1",
        "0 0 31 4,6 mon",
        "0 0 31 4-7 *",
        "0 0 */30 2 *",
        "0 0 29W 2 *",
        "0 0 31W 2 5#1",
        "0 0 L-28 2 *",
        "0 0 * 2 5#5",
        "0 0 */31 2 sun#1",
        "0 0 L 2 */6",
    ],
)
def test_rare_dates_are_accepted(text: str) -> None:
    """A date that comes only in leap years, or only by its weekday, is not refused."""
    assert isinstance(parse_cron(text), CronExpression)


@pytest.mark.fault(25)
@pytest.mark.parametrize("text", ["x" * 12_000, "* " * 6_000, "1," * 130, "9" * 200 + " * * * *"])
def test_long_text_is_not_echoed(text: str) -> None:
    """However long the input is, the message stays readable."""
    with pytest.raises(CronError) as refusal:
        parse_cron(text)
    assert len(str(refusal.value)) < MAX_LENGTH


@settings(deadline=None, max_examples=100)
@given(cron_texts())
def test_an_expression_is_its_own_normal_form(text: str) -> None:
    """Values are sorted and distinct, and the normalised text parses to the same expression."""
    cron = parse_cron(f" {text.upper()}\t")
    assert parse_cron(cron.text) == cron == parse_cron(text)
    for values, special in (
        (cron.minutes, ()),
        (cron.hours, ()),
        (cron.days_of_month, cron.special_days_of_month),
        (cron.months, ()),
        (cron.days_of_week, cron.special_days_of_week),
    ):
        assert values or special
        assert list(values) == sorted(set(values))
        assert len(special) == len(set(special))
    assert max(cron.days_of_week, default=0) <= 6


@pytest.mark.fault(25)
@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40) | st.text(alphabet="0123456789*/-,@# LWHfrimon\t", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """No input makes the parser fail in any way but a CronError."""
    with suppress(CronError):
        assert parse_cron(text).text.isascii()
