"""Blackouts: fires inside a window are skipped or put off, all others are left alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.blackout import judge
from domain.due import next_due
from domain.task import Task
from tests.conftest import task_of
from tests.fuzz.effort import within

NIGHT = {"cron": "0 22 * * *", "duration": "8h", "timezone": "Europe/Berlin"}
LUNCH = {"cron": "0 12 * * mon-fri", "duration": "1h", "timezone": "Europe/Berlin"}


def utc(text: str) -> datetime:
    """An instant of November 2026."""
    return datetime.fromisoformat(f"2026-11-{text}:00Z")


def task(*blackouts: dict[str, Any]) -> Task:
    """A task with these blackouts."""
    return task_of(blackouts=list(blackouts), triggers=[{"every": "10m"}])


@pytest.mark.parametrize(
    ("blackouts", "at", "runs_at"),
    [
        ([], "23T03:00", "23T03:00"),
        ([NIGHT], "23T20:59", "23T20:59"),
        ([NIGHT], "23T21:00", None),
        ([NIGHT], "24T04:59", None),
        ([NIGHT], "24T05:00", "24T05:00"),
        ([NIGHT | {"then": "defer"}], "24T01:30", "24T05:00"),
        ([LUNCH | {"then": "defer"}], "23T11:30", "23T12:00"),
        ([LUNCH | {"then": "defer"}], "22T11:30", "22T11:30"),  # a Sunday
        ([LUNCH | {"then": "defer"}, LUNCH], "23T11:30", None),
        ([LUNCH | {"then": "defer"}, NIGHT | {"cron": "0 13 * * *"}], "23T11:30", None),
        (
            [LUNCH | {"then": "defer"}, NIGHT | {"cron": "0 13 * * *", "then": "defer"}],
            "23T11:30",
            "23T20:00",
        ),
        ([{"cron": "0 0 * * *", "duration": "24h", "then": "defer"}], "23T11:30", None),
    ],
)
def test_a_fire_runs_is_put_off_or_skipped(
    blackouts: list[dict[str, Any]], at: str, runs_at: str | None
) -> None:
    """Windows hold their start and not their end; skip comes before defer; windows can follow."""
    verdict = judge(task(*blackouts), utc(at))
    assert verdict.skipped == (runs_at is None)
    assert verdict.skipped or verdict.at == utc(runs_at or "")
    assert bool(verdict.reason) == (verdict.skipped or verdict.at != utc(at))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "cron": st.sampled_from(["0 * * * *", "*/20 * * * *", "30 3,9 * * *"]),
                "duration": st.integers(1, 200).map(lambda minutes: f"{minutes}m"),
                "then": st.sampled_from(["skip", "defer"]),
            }
        ),
        max_size=3,
    ),
    st.integers(0, 7 * 24 * 60),
)
def test_no_run_starts_inside_a_window(blackouts: list[dict[str, Any]], minutes: int) -> None:
    """Whatever the windows: a fire that is not skipped runs outside all of them, never earlier."""
    at = utc("23T00:00") + timedelta(minutes=minutes)
    verdict = judge(task(*blackouts), at)
    if not verdict.skipped:
        assert verdict.at >= at
        for blackout in blackouts:
            length = timedelta(minutes=int(blackout["duration"][:-1]))
            inside = [
                start
                for back in range(int(length / timedelta(minutes=1)) + 1)
                if _starts(blackout["cron"], start := verdict.at - timedelta(minutes=back))
                and start + length > verdict.at
            ]
            assert not inside


def _starts(cron: str, at: datetime) -> bool:
    """Whether one of the three expressions of the test above matches; written out once more."""
    if cron == "0 * * * *":
        return at.minute == 0
    if cron == "*/20 * * * *":
        return at.minute % 20 == 0
    return at.minute == 30 and at.hour in (3, 9)


def test_next_runs_leave_out_what_a_blackout_skips() -> None:
    """The times that people are shown are those of runs, and an endless blackout leaves none."""
    hourly = task_of(triggers=[{"cron": "0 * * * *"}], blackouts=[LUNCH | {"timezone": "UTC"}])
    assert next_due(hourly, 3, after=utc("23T10:30")) == [
        utc("23T11:00"),
        utc("23T13:00"),
        utc("23T14:00"),
    ]
    never = task({"cron": "0 0 * * *", "duration": "25h"})
    assert next_due(never, 3, after=utc("23T10:30")) == []


MINUTELY = {"cron": "* * * * *", "duration": "3660d"}


@pytest.mark.parametrize(
    "blackouts",
    [
        [MINUTELY],
        [MINUTELY | {"then": "defer"}] * 50,
        [NIGHT | {"cron": "0 9 1 1 *"}] * 49 + [MINUTELY],
    ],
    ids=["skip", "defer", "fifty"],
)
def test_endless_windows_are_judged_soon(blackouts: list[dict[str, Any]]) -> None:
    """Ten years of every minute: not a million windows are looked at, nor each fire held to one."""
    minutely = task_of(blackouts=blackouts, triggers=[{"cron": "* * * * *"}])
    with within(5):
        assert judge(minutely, utc("23T10:30")).skipped
        assert next_due(minutely, 3, after=utc("23T10:30")) == []


def test_a_long_window_is_passed_over() -> None:
    """The next run comes after it, however many fires it skips and although a fire has jitter."""
    summer = {"cron": "0 0 1 6 *", "duration": "90d"}
    minutely = task_of(blackouts=[summer], triggers=[{"cron": "* * * * *"}], jitter="30s")
    at = datetime(2027, 6, 2, tzinfo=UTC)
    found = next_due(minutely, 2, after=at, seed="seed of a namespace and a task")
    ends = datetime(2027, 8, 30, tzinfo=UTC)
    assert [one.replace(second=0, microsecond=0) for one in found] == [
        ends,
        ends + timedelta(minutes=1),
    ]
