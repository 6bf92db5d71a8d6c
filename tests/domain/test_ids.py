"""Ids of schedules and runs: built and parsed in one place, without a loss."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import (
    NAME,
    RunId,
    event_run_id,
    manual_run_id,
    parse_registry_id,
    parse_run_id,
    parse_schedule_id,
    registry_id,
    run_id_prefix,
    schedule_id,
    scheduled_run_id,
)

_NAMES = st.from_regex(rf"\A{NAME}\Z")
_TIMES = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2199, 12, 31),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
).map(lambda at: at.replace(microsecond=0))


@given(_NAMES, _NAMES)
def test_schedule_ids_read_back(tenant: str, task: str) -> None:
    """The parts of a schedule's id are those it was built of."""
    assert parse_schedule_id(schedule_id(tenant, task)) == (tenant, task)


@given(_NAMES, _NAMES, _TIMES)
def test_scheduled_run_ids_read_back(tenant: str, task: str, at: datetime) -> None:
    """The nominal time survives in UTC, whatever zone it came in and whatever the names hold."""
    text = scheduled_run_id(tenant, task, at)
    assert parse_run_id(text) == RunId(tenant, task, at.astimezone(UTC), None)
    assert text.startswith(run_id_prefix(tenant, task) + "-")


@given(_NAMES, _NAMES, st.text(min_size=1))
def test_manual_run_ids_read_back(tenant: str, task: str, key: str) -> None:
    """Any key survives: slashes, newlines and what looks like a time."""
    assert parse_run_id(manual_run_id(tenant, task, key)) == RunId(tenant, task, None, key)


@given(_NAMES, _NAMES, st.text(min_size=1), st.text(min_size=1))
def test_run_ids_of_events_read_back(tenant: str, task: str, source: str, event: str) -> None:
    """Whatever a source and an id hold, the run's id is short and says whose it is."""
    text = event_run_id(tenant, task, source, event)
    found = parse_run_id(text)
    assert found
    assert (found.tenant_id, found.task_id, found.scheduled_time) == (tenant, task, None)
    assert text == f"{run_id_prefix(tenant, task)}/event/{found.key}"
    assert parse_run_id(text[:-1]) is None


@given(*[st.text(min_size=1)] * 4)
def test_each_event_has_a_run_of_its_own(a: str, b: str, c: str, d: str) -> None:
    """Source and id together tell events apart, wherever the one ends and the other begins."""
    same = event_run_id("acme", "report", a, b) == event_run_id("acme", "report", c, d)
    assert same == ((a, b) == (c, d))
    assert event_run_id("acme", "report", a + b, c) != event_run_id("acme", "report", a, b + c)


@given(_NAMES, _NAMES, _TIMES, st.text(min_size=1))
def test_kinds_of_ids_are_never_taken_for_each_other(
    tenant: str, task: str, at: datetime, key: str
) -> None:
    """A schedule is no run, and a manual run has no nominal time."""
    assert parse_run_id(schedule_id(tenant, task)) is None
    assert parse_schedule_id(scheduled_run_id(tenant, task, at)) is None
    assert parse_schedule_id(manual_run_id(tenant, task, key)) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "run/", "run/acme", "run/acme/report", "run/acme/report/manual/", "other/acme/x"),
        "run/acme/report-2026-13-01T00:00:00Z",
        "run/acme/report-2026-01-01T24:61:00Z",
        "run/acme/report-2026-01-01T00:00:00Z\n",
        "run/acme/report-2026-01-01T00:00:00z",
        "run/acme/report-\u0662\u0660\u0662\u0666-01-01T00:00:00Z",
        "run/Acme/report-2026-01-01T00:00:00Z",
        "run/../report-2026-01-01T00:00:00Z",
        "run/acme/report/event/1",
        "run/acme/report/event/0123456789ABCDEF0123456789ABCDEF",
        "run/acme/report/event/0123456789abcdef0123456789abcdef/",
    ],
)
def test_foreign_ids_are_none_of_ours(text: str) -> None:
    """What another tool started is left alone and is not an error."""
    assert parse_run_id(text) is None


@pytest.mark.parametrize(
    "text", ["", "task/acme", "task/acme/x/y", "task/acme/x\n", "task/ACME/x", "task/-a/x"]
)
def test_foreign_schedules_are_none_of_ours(text: str) -> None:
    """A schedule that is not named as ours are is not ours."""
    assert parse_schedule_id(text) is None


@given(_NAMES, st.integers(0, 999))
def test_registry_ids_read_back(tenant: str, shard: int) -> None:
    """A registry is found by its tenant and shard, and is neither a run nor a schedule."""
    text = registry_id(tenant, shard)
    assert parse_registry_id(text) == (tenant, shard)
    assert parse_run_id(text) is None
    assert parse_schedule_id(text) is None
    assert parse_registry_id(schedule_id(tenant, "3")) is None
