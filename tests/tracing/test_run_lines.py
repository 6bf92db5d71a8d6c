"""What a line about a run says, by who wrote it, and how people see it."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from domain.attributes import TASK_RUN
from domain.run_line import RUN_FIELDS
from domain.trace import trace_id
from shared import log
from shared.run_lines import complete_run_line
from shared.settings import Settings

RUN_ID = "run/acme/daily-report-2026-11-23T02:00:00Z"
UNKNOWN = dict.fromkeys(RUN_FIELDS) | {
    "run_id": RUN_ID,
    "tenant_id": "acme",
    "task_id": "daily-report",
}


def line(**said: Any) -> dict[str, Any]:
    """A line when it is complete."""
    return dict(complete_run_line(None, "info", said))


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Logging of the process is put back."""
    root = logging.getLogger()
    handlers, level, known = root.handlers, root.level, structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**known)


def test_a_line_that_names_a_run_has_all_fields_of_one() -> None:
    """What the id says, what the line says, and null."""
    assert line(run_id=RUN_ID, retry_count=0, reason="x") == UNKNOWN | {
        "retry_count": 0,
        "reason": "x",
    }


@pytest.mark.parametrize(
    ("name", "temporal_run_id"),
    [("temporal_workflow", "run_id"), ("temporal_activity", "workflow_run_id")],
)
def test_a_line_of_temporals_own_about_a_run_is_one(name: str, temporal_run_id: str) -> None:
    """The SDK says where it is; its context goes, since the fields say the same."""
    told = {"workflow_type": TASK_RUN, "workflow_id": RUN_ID, temporal_run_id: "0193"}
    assert line(**{name: told, "event": "e"}) == UNKNOWN | {
        "event": "e",
        "trace_id": trace_id(RUN_ID, "0193"),
    }
    assert line(**{name: told | {"workflow_type": "Watch", "workflow_id": "watch"}}) == {}


def test_a_line_about_another_run_than_the_one_that_wrote_it_has_no_trace() -> None:
    """Whose Temporal id is known is the writer's: another trace would mislead."""
    told = {"workflow_type": TASK_RUN, "workflow_id": "run/acme/b/manual/1", "run_id": "0193"}
    assert line(temporal_workflow=told, run_id=RUN_ID) == UNKNOWN


def test_a_line_about_no_run_is_left_as_it_is() -> None:
    """Of the API it has the trace of its request; ids of something else are no runs."""
    assert line(action="watch_tick") == {"action": "watch_tick"}
    assert line(event="retried", temporal_log=object()) == {"event": "retried"}
    assert line(run_id="work-order/x") == {"run_id": "work-order/x"}
    assert line(request_trace_id="7") == {"trace_id": "7"}
    assert line(request_trace_id="7", run_id=RUN_ID)["request_trace_id"] == "7"


@pytest.mark.usefixtures("logging_as_it_was")
def test_machines_get_json_and_people_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Times in UTC; null for machines alone; a traceback shows no values of variables."""
    at = datetime(2026, 11, 23, 2, tzinfo=UTC)
    logger = structlog.get_logger("tests.lines").bind()

    def fails(secret: str) -> None:
        raise ValueError(len(secret))

    for kind in ("json", "console"):
        log.configure(Settings.model_validate({"log_format": kind}))
        logger = structlog.get_logger("tests.lines").bind()
        try:
            fails("-".join(["canary", "71"]))
        except ValueError:
            logger.exception("said", action="said", run_id=RUN_ID, trigger_time=at)
        told = capsys.readouterr().err
        assert "ValueError: 9" in told
        assert "canary-71" not in told
        if kind == "json":
            document = json.loads(told)
            assert document["trigger_time"] == "2026-11-23T02:00:00Z"
            assert document["actual_start"] is None
            assert document["level"] == "error"
        else:
            assert "actual_start" not in told
            assert f"run_id={RUN_ID}" in told


@pytest.mark.usefixtures("logging_as_it_was")
def test_a_command_logs_only_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless it is to say everything."""
    for level, said in (("INFO", ["b"]), ("DEBUG", ["a", "b"]), ("ERROR", [])):
        log.configure(
            Settings.model_validate({"log_format": "json", "log_level": level}), quiet=True
        )
        logger = structlog.get_logger("tests.lines").bind()
        logger.info("a")
        logger.warning("b")
        lines = capsys.readouterr().err.splitlines()
        assert [json.loads(told)["event"] for told in lines] == said
