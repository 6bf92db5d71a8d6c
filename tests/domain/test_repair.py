"""Compiled specs fire, by the model of the server, at exactly the wanted instants."""

from bisect import bisect_right
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.clock_changes import clock_changes
from domain.compiled import Horizon, compile_task
from domain.repair import CannotCompile, TooManyEntries
from domain.task import CronTrigger, IntervalTrigger, OneOffTrigger, Task
from domain.temporal_model import CompiledSpec, fires, next_fire
from tests.domain.clocks import (
    HORIZON,
    NOW,
    ZONES,
    changes_of,
    cron_task,
    random_cron,
    task_with,
    wanted_in,
    windows_of,
)

_NONE = timedelta(0)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


def _compiled(task: Task, shift: timedelta = _NONE) -> CompiledSpec:
    return compile_task(task, shift=shift, now=NOW)


def _assert_exact(task: Task, shift: timedelta, random: Random) -> None:
    spec = _compiled(task, shift)
    for after, until in windows_of(task, spec, shift, random):
        wanted = wanted_in(task, shift, [(after, until)])
        assert list(fires(spec, after=after, until=until)) == wanted


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from(ZONES), st.integers(0, 4000))
def test_a_cron_task_fires_as_wanted(seed: int, zone: str, shift: int) -> None:
    """Around every change of the next two years, and on days without one."""
    random = Random(seed)  # noqa: S311 - chosen by hypothesis
    _assert_exact(cron_task(random_cron(random), zone), timedelta(seconds=shift), random)


@settings(deadline=None, max_examples=4)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(ZONES), min_size=2, max_size=2))
def test_triggers_of_several_zones_fire_as_wanted(seed: int, zones: list[str]) -> None:
    """One schedule has one zone; the others' triggers are exact all the same."""
    random = Random(seed)  # noqa: S311
    crons = [CronTrigger(cron=random_cron(random), timezone=zone) for zone in zones]
    every = IntervalTrigger(every=timedelta(hours=7), offset=11 * _MINUTE)
    once = OneOffTrigger(at=datetime(2027, 3, 14, 7, 30, tzinfo=UTC))
    with suppress(TooManyEntries):
        _assert_exact(task_with(*crons, every, once), random.randrange(300) * _SECOND, random)


@pytest.mark.parametrize("shift", [_NONE, 20 * _MINUTE + 37 * _SECOND])
@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("30 2 * * *", "Europe/Berlin"),
        ("0,30 1,2 * * *", "Europe/Berlin"),
        ("*/20 2 * * *", "Europe/Berlin"),
        ("0 0,1 * * *", "Europe/London"),
        ("30 1 * * *", "America/New_York"),
        ("*/10 1 * * *", "America/New_York"),
        ("42-59 1-3 * * *", "America/Los_Angeles"),
        ("0 0 * * 0", "America/Santiago"),
        ("15,45 1,2 * * *", "Australia/Lord_Howe"),
        ("0 0 * * *", "Africa/Cairo"),
        ("30 23,0 * * *", "Asia/Beirut"),
        ("30 0-2 * * *", "Antarctica/Troll"),
    ],
)
def test_wherever_the_search_starts_the_next_fire_is_wanted(
    text: str, zone: str, shift: timedelta
) -> None:
    """A server that wakes at any second around a change goes on with the next wanted instant."""
    task = cron_task(text, zone)
    spec = _compiled(task, shift)
    for change in changes_of(task, spec)[:2]:
        start, until = change - 3 * _HOUR, change + 3 * _DAY
        wanted = wanted_in(task, shift, [(start, until)])
        for second in range(0, 6 * 3600, 101):
            after = start + second * _SECOND
            expected = wanted[bisect_right(wanted, after)] if wanted[-1] > after else None
            assert next_fire(spec, after, until=until) == expected


@pytest.mark.parametrize(
    ("text", "zone", "spec_zone", "most"),
    [
        ("0 12 * * *", "Europe/Berlin", "Europe/Berlin", 1),
        ("0 2 * * *", "Asia/Shanghai", "Asia/Shanghai", 1),
        ("*/15 * * * *", "Europe/Berlin", "UTC", 1),
        ("*/15 * * * *", "Asia/Kathmandu", "UTC", 1),
        ("0 9 * * 1-5", "America/New_York", "America/New_York", 1),
        ("0 0 1 * 1", "Europe/Paris", "Europe/Paris", 2),
        ("30 1 * * *", "Europe/Berlin", "Europe/Berlin", 4),
        ("30 1 * * *", "America/New_York", "America/New_York", 8),
        ("30 2 * * *", "Europe/Berlin", "Europe/Berlin", 9),
        ("* 0-22 * * *", "Europe/Berlin", "UTC", 20),
    ],
)
def test_specs_are_small_and_in_the_zone_that_a_reader_expects(
    text: str, zone: str, spec_zone: str, most: int
) -> None:
    """What no change of a clock disturbs is one calendar; the rest is a handful of entries."""
    spec = _compiled(cron_task(text, zone))
    assert (spec.zone, spec.size <= most) == (spec_zone, True)
    assert spec.calendars[0].comment == text + ("" if zone == spec_zone else f" ({zone})")


def test_zones_with_one_difference_need_no_dates() -> None:
    """Two zones that change on the same dates share calendars for all years."""
    crons = [
        CronTrigger(cron="0 12 * * *", timezone=zone) for zone in ("Europe/Berlin", "Europe/Athens")
    ]
    spec = _compiled(task_with(*crons))
    assert [calendar.year for calendar in spec.calendars] == [(), ()]


def test_compiling_again_in_the_same_quarter_changes_nothing() -> None:
    """Equal input gives an equal spec for three months, and one that reaches further after that."""
    task = cron_task("30 2 * * *", "Europe/Berlin")
    spec = _compiled(task)
    assert compile_task(task, shift=_NONE, now=datetime(2026, 10, 1, tzinfo=UTC)) == spec
    later = compile_task(task, shift=_NONE, now=datetime(2027, 1, 1, tzinfo=UTC))
    assert spec.exact_until == datetime(2029, 1, 1, tzinfo=UTC)
    assert later.exact_until == datetime(2029, 4, 1, tzinfo=UTC)


def test_a_spec_that_no_clock_disturbs_is_exact_for_ever() -> None:
    """Intervals, one-offs and clocks that never change need no extension."""
    once = OneOffTrigger(at=datetime(2027, 3, 14, 7, 30, tzinfo=UTC))
    every = IntervalTrigger(every=_HOUR)
    cron = CronTrigger(cron="0 3 31 * *", timezone="Asia/Tokyo")
    assert _compiled(task_with(once, every, cron)).exact_until is None


def test_a_skip_never_takes_the_fire_of_an_interval() -> None:
    """Where an interval fires on the pass that is too much for a cron, both are kept apart."""
    cron = CronTrigger(cron="30 1 * * *", timezone="America/New_York")
    task = task_with(cron, IntervalTrigger(every=30 * _MINUTE))
    _assert_exact(task, _NONE, Random(1))  # noqa: S311


def test_events_alone_make_an_empty_spec() -> None:
    """An empty spec is the caller's to fill: it never fires."""
    assert _compiled(task_with()).size == 0


@pytest.mark.parametrize(
    ("task", "shift", "message"),
    [
        (cron_task("0 2 * * *", "UTC"), timedelta(days=15), "at most 14 days"),
        (cron_task("0 2 * * *", "UTC"), timedelta(milliseconds=1), "whole seconds"),
        (task_with(IntervalTrigger(every=timedelta(milliseconds=10_500))), _NONE, "whole seconds"),
        (task_with(OneOffTrigger(at=datetime(2101, 1, 1, tzinfo=UTC))), _NONE, "year 2100"),
    ],
)
def test_what_temporal_cannot_do_is_refused(task: Task, shift: timedelta, message: str) -> None:
    """A refusal names what cannot be, before anything reaches a server."""
    with pytest.raises(CannotCompile, match=message):
        _compiled(task, shift)


def test_too_many_entries_are_refused() -> None:
    """A spec that nobody could read is not made; the refusal says what to do."""
    crons = [
        CronTrigger(cron=f"{n} {n % 3} * * *", timezone=zone)
        for n in range(10)
        for zone in ("Europe/Berlin", "America/New_York")
    ]
    with pytest.raises(TooManyEntries, match="200 entries"):
        _compiled(task_with(*crons))


def test_the_horizon_is_the_quarter_and_two_years() -> None:
    """From the first of the quarter to two years after its end, whatever the zone of the moment."""
    moment = datetime(2027, 1, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))  # still 2026 in UTC
    assert Horizon.of(moment) == HORIZON
    assert datetime(2029, 1, 1, tzinfo=UTC) == HORIZON.end
    assert clock_changes(ZoneInfo("UTC"), HORIZON.start, HORIZON.end) == ()
