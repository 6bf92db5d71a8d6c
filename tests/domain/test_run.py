"""The payloads of runs, and which trigger a nominal time belongs to."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.run import ExecuteInput, Fire, ManualFire, TaskRunInput, TriggerKind, kind_of
from domain.trace import trace_id, traceparent
from tests.conftest import task_of

_EVERY = {"every": "15m", "offset": "5m"}
_CRON = {"cron": "0 2 * * *"}
_AT = {"at": "2027-01-01T02:05:00+08:00"}


@pytest.mark.parametrize(
    ("triggers", "nominal", "kind"),
    [
        ([_CRON], "2026-11-23T02:00:00+00:00", TriggerKind.CRON),
        ([_EVERY], "2026-11-23T02:05:00+00:00", TriggerKind.INTERVAL),
        ([_AT], "2026-12-31T18:05:00+00:00", TriggerKind.ONE_OFF),
        ([_CRON, _EVERY], "2026-11-23T02:00:00+00:00", TriggerKind.CRON),
        ([_CRON, _EVERY], "2026-11-23T02:20:00+00:00", TriggerKind.INTERVAL),
        ([_EVERY, _AT], "2026-12-31T18:05:00+00:00", TriggerKind.INTERVAL),
        ([_AT, _EVERY], "2026-12-31T18:05:00+00:00", TriggerKind.ONE_OFF),
        ([_EVERY], "2026-11-23T02:06:00+00:00", TriggerKind.INTERVAL),
    ],
)
def test_a_nominal_time_belongs_to_a_trigger_that_has_it(
    triggers: list[dict[str, str]], nominal: str, kind: TriggerKind
) -> None:
    """The first trigger that fits names the kind of the fire."""
    assert kind_of(task_of(triggers=triggers), datetime.fromisoformat(nominal)) is kind


@given(every=st.integers(10, 10**7), count=st.integers(1, 10**6), data=st.data())
def test_interval_fires_are_known_by_arithmetic(
    every: int, count: int, data: st.DataObject
) -> None:
    """Whatever the interval and its offset, their own instants are theirs."""
    offset = data.draw(st.integers(0, every - 1))
    triggers = [{"cron": "0 2 * * *"}, {"every": f"{every}s", "offset": f"{offset}s"}]
    seconds = (count * every + offset) % 7_000_000_000 // every * every + offset
    nominal = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
    assert kind_of(task_of(triggers=triggers), nominal) is TriggerKind.INTERVAL


def test_a_run_reads_back_from_its_json() -> None:
    """What a schedule carries is what the run gets, to the last default."""
    task = task_of("sla: null\nretry: {max_attempts: 5}", triggers=[_CRON, _EVERY, _AT])
    request = TaskRunInput(task=task, manual=ManualFire(at=datetime.now(UTC), payload={"a": [1]}))
    assert TaskRunInput.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize("path", [(), ("task",), ("task", "retry"), ("task", "triggers", 0)])
def test_fields_of_a_newer_worker_are_passed_over(path: tuple[Any, ...]) -> None:
    """A worker of yesterday runs what one of tomorrow has stored."""
    request = TaskRunInput(task=task_of())
    stored = json.loads(request.model_dump_json())
    place = stored
    for step in path:
        place = place[step]
    place["field_of_tomorrow"] = {"x": 1}
    assert TaskRunInput.model_validate_json(json.dumps(stored)) == request


def test_a_run_stored_before_a_field_was_there_is_read_without_it() -> None:
    """A schedule of an older version starts runs of a tenant that limits nothing."""
    request = TaskRunInput(task=task_of())
    stored = json.loads(request.model_dump_json())
    old = json.dumps({"task": stored["task"]})
    assert TaskRunInput.model_validate_json(old) == request
    assert request.limited is False


def test_a_stored_task_is_still_checked() -> None:
    """Leniency about new fields is none about broken ones."""
    stored = json.loads(TaskRunInput(task=task_of()).model_dump_json())
    stored["task"]["priority"] = 99
    with pytest.raises(ValidationError):
        TaskRunInput.model_validate_json(json.dumps(stored))


def test_the_call_of_a_plugin_reads_back_from_its_json() -> None:
    """The argument of the activity loses nothing on its way through Temporal."""
    at = datetime(2026, 11, 23, 2, tzinfo=UTC)
    request = ExecuteInput(
        tenant_id="acme",
        task_id="daily-report",
        plugin_id="report-builder",
        params={"deep": {"list": [1, 2.5, None, "x"]}},
        trigger=Fire(kind=TriggerKind.CRON, nominal_time=at, trigger_time=at),
        timeout=timedelta(milliseconds=1500),
    )
    assert ExecuteInput.model_validate_json(request.model_dump_json()) == request


@given(st.text(), st.text(), st.integers(1, 1000))
def test_traces_follow_the_w3c_format(run_id: str, temporal_id: str, attempt: int) -> None:
    """A trace is the same wherever it is worked out, and its header is well-formed."""
    trace = trace_id(run_id, temporal_id)
    assert trace == trace_id(run_id, temporal_id)
    header = traceparent(trace, attempt)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", header)
    assert header.split("-")[1] == trace
    assert header != traceparent(trace, attempt + 1)
