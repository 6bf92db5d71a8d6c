"""Cron expressions that are nearly right: refused with advice, or they fire as croniter says."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter  # type: ignore[import-untyped]
from hypothesis import example, given
from hypothesis import strategies as st

from domain.calendars import compile_cron
from domain.cron import CronError, CronExpression, parse_cron
from domain.describe import describe_cron
from domain.fires import cron_times
from tests.domain.test_calendars import croniter_differs
from tests.domain.test_cron import cron_texts
from tests.fuzz.effort import effort, is_told, within
from tests.fuzz.texts import spoiled

_SECONDS = 2.0
"""Of the processor for one expression."""
_START = datetime(2027, 2, 20, 12, 34, 56, tzinfo=UTC)

_WORDS = (
    *("*", "*/", "/", "-", ",", " ", "  ", "\t", "L", "LW", "W", "#", "?", "~", "H", "@daily", "@"),
    *(
        "0-",
        "7",
        "6-0",
        "59",
        "60",
        "24",
        "31",
        "30",
        "2",
        "feb",
        "MON",
        "sun-",
        "*/2",
        "1-5",
        "L-3",
    ),
    *(
        "5#3",
        "5#5",
        "5L",
        "15W",
        "TZ=UTC ",
        "CRON_TZ=",
        "@every 5m",
        "*/7,3",
        "0-59/61",
        "00",
        "0 0 0",
    ),
)
_FIELD = st.sampled_from(
    (
        *("*", "*/2", "*/7", "*/31", "0", "7", "12", "1-5", "5-1", "22-3", "1-12/3", "0,30", "59"),
        *("L", "LW", "15W", "31W", "L-3", "5#1", "5#5", "5L", "0-7", "1-7/2", "7-7", "sat-sun"),
        *("jan", "feb-apr", "MON-FRI", "*/0", "60", "", "29", "30", "31", "2", "*/59,1-2", "00"),
    )
)
_ANY_FIELDS = st.lists(_FIELD, min_size=4, max_size=6).map(" ".join)
_TEXTS = spoiled(st.one_of(cron_texts(), cron_texts(special=False), _ANY_FIELDS), _WORDS)
_ZONES = st.sampled_from(("UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana"))


def _parsed(text: str) -> CronExpression | None:
    with within(_SECONDS):
        try:
            return parse_cron(text)
        except CronError as refusal:
            is_told(refusal, 400)
            return None


def _next(text: str, count: int) -> list[datetime] | None:
    """What croniter says of five fields; None when it takes them for no expression."""
    try:
        times = croniter(text, _START, ret_type=datetime, implement_cron_bug=True)
        return [times.get_next() for _ in range(count)]
    except (CroniterError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None


@effort(36)
@given(text=_TEXTS, zone=_ZONES)
@example(text="0 0 29 2 *", zone="UTC")
def test_an_expression_is_refused_or_has_times_a_calendar_and_words(text: str, zone: str) -> None:
    """Its text is its own normal form, and everything that is made of it comes soon."""
    cron = _parsed(text)
    if cron is None:
        return
    assert parse_cron(cron.text) == cron
    with within(_SECONDS):
        calendars = compile_cron(cron)
        assert describe_cron(cron)
        times = list(islice(cron_times(cron, ZoneInfo(zone), after=_START), 5))
    assert 1 <= len(calendars) <= 100
    assert len(times) == 5
    assert times == sorted(set(times))
    assert times[0] > _START
    assert not any(at.second or at.microsecond for at in times)


@effort(20)
@given(text=_TEXTS)
def test_what_both_take_fires_when_croniter_says(text: str) -> None:
    """But for the few things that croniter is known to read in another way than crontab(5)."""
    cron = _parsed(text)
    if cron is None or cron.special_days_of_month or cron.special_days_of_week:
        return  # croniter counts `5L` and `5#1` beside a day of the month in a way of its own
    if croniter_differs(cron.text):
        return
    expected = _next(cron.text, 5)
    if expected is None:
        return
    times = cron_times(cron, ZoneInfo("UTC"), after=_START, until=_START + timedelta(days=365 * 60))
    assert list(islice(times, 5)) == expected
