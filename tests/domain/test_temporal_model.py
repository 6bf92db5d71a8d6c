"""The model of the server's expansion: what a real server listed for these specs."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendars import compile_cron
from domain.clock_changes import clock_changes
from domain.cron import parse_cron
from domain.fires import cron_times
from domain.repair import dated
from domain.temporal_model import (
    EPOCH,
    CompiledSpec,
    Instant,
    Interval,
    fires,
    next_fire,
    raw_next_fire,
)
from tests.domain.test_cron import cron_texts


def _spec(text: str, zone: str) -> CompiledSpec:
    return CompiledSpec(zone, calendars=compile_cron(parse_cron(text)))


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _fires(spec: CompiledSpec, after: str, until: str) -> list[str]:
    found = fires(spec, after=_utc(after), until=_utc(until))
    return [f"{at:%dT%H:%M}" for at in found]


@pytest.mark.parametrize(
    ("text", "zone", "day", "expected"),
    [
        ("30 1 * * *", "America/New_York", "2026-11-01", ["01T05:30", "01T06:30"]),
        ("30 1 * * *", "Europe/Berlin", "2026-10-25", ["24T23:30", "25T00:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25", ["25T01:30"]),
        ("0 0 * * *", "Europe/London", "2026-10-25", ["24T23:00", "25T00:00"]),
        ("30 2 * * *", "Europe/Berlin", "2027-03-28", []),
        ("0 5 * * 0", "America/Santiago", "2027-09-05", []),
        ("0 5 * * 6", "America/Santiago", "2027-09-05", ["05T08:00"]),
        ("15 2 * * *", "Australia/Lord_Howe", "2027-10-03", ["02T15:45"]),
    ],
)
def test_habits_around_changes(text: str, zone: str, day: str, expected: list[str]) -> None:
    """The server's habits: both passes in the west, a wrong hour in the east, nothing in a gap, a
    weekday misread after a gap at midnight, and a wrong minute after half an hour's gap."""
    local = ZoneInfo(zone)
    start = datetime.fromisoformat(day).replace(tzinfo=local).astimezone(UTC)
    end = (datetime.fromisoformat(day) + timedelta(days=1)).replace(tzinfo=local).astimezone(UTC)
    found = fires(_spec(text, zone), after=start - timedelta(seconds=1), until=end)
    assert [f"{at:%dT%H:%M}" for at in found if at < end] == expected


def test_a_search_that_starts_in_the_second_pass_runs_late() -> None:
    """What comes next depends on where the search starts, not only on the spec."""
    spec = _spec("30 2 * * *", "Europe/Berlin")
    assert next_fire(spec, _utc("2026-10-25T01:15")) == _utc("2026-10-25T02:30")
    assert next_fire(spec, _utc("2026-10-25T01:45")) == _utc("2026-10-26T01:30")


def test_skips_take_both_passes_and_instants() -> None:
    """A skip matches the clock's reading, whatever fires there."""
    first, second = _utc("2026-11-01T05:30"), _utc("2026-11-01T06:30")
    later = _utc("2026-11-01T06:35")
    spec = CompiledSpec(
        "America/New_York",
        skips=tuple(dated([datetime(2026, 11, 1, 1, 30)], "skipped")),  # noqa: DTZ001
        instants=(Instant(first), Instant(second), Instant(later)),
    )
    assert next_fire(spec, _utc("2026-11-01T00:00")) == later
    assert raw_next_fire(spec, _utc("2026-11-01T00:00")) == first


@given(st.datetimes(datetime(2010, 1, 1), datetime(2100, 12, 31)), st.integers(0, 10**9))  # noqa: DTZ001
def test_an_instant_is_an_interval_that_fires_there_next(at: datetime, before: int) -> None:
    """From 30 years before on, the next fire of its interval is the instant itself."""
    instant = Instant(at.replace(tzinfo=UTC, microsecond=0))
    interval = instant.interval
    assert timedelta(0) <= interval.offset < interval.every
    start = max(instant.at - timedelta(seconds=1 + before % 946_080_000), EPOCH)
    spec = CompiledSpec("UTC", intervals=(interval,))
    assert next_fire(spec, start) == instant.at


def test_intervals_count_from_the_epoch() -> None:
    """Fires lie at the offset after multiples; at the offset itself there is none."""
    spec = CompiledSpec("UTC", intervals=(Interval(timedelta(hours=7), timedelta(hours=2)),))
    assert next_fire(spec, EPOCH) == EPOCH + timedelta(hours=9)
    assert _fires(spec, "2027-01-01T00:00", "2027-01-01T12:00") == ["01T06:00"]


@settings(deadline=None, max_examples=100)
@given(cron_texts(), st.sampled_from(["UTC", "Asia/Kolkata", "Asia/Tokyo", "America/Bogota"]))
def test_without_changes_the_model_is_cron(text: str, zone: str) -> None:
    """In a zone whose clock never changes, calendars fire as the expression says."""
    start = datetime(2026, 1, 1, 11, 59, 30, tzinfo=UTC)
    wanted = list(islice(cron_times(parse_cron(text), ZoneInfo(zone), after=start), 12))
    assume_last = wanted[-1] if wanted else start
    assert list(fires(_spec(text, zone), after=start, until=assume_last)) == wanted


def test_changes_of_a_clock() -> None:
    """The instant of a change is the first with the new offset."""
    start, end = _utc("2026-01-01"), _utc("2027-01-01")
    changes = clock_changes(ZoneInfo("Australia/Lord_Howe"), start, end)
    assert [(f"{c.at:%m-%dT%H:%M}", c.after - c.before) for c in changes] == [
        ("04-04T15:00", -timedelta(minutes=30)),
        ("10-03T15:30", timedelta(minutes=30)),
    ]
    assert clock_changes(ZoneInfo("Asia/Tokyo"), start, end) == ()
