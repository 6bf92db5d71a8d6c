"""Whatever OpenAPI allows and forbids, sent to the real process: the answers are as documented.

Schemathesis makes the requests: the examples, each field at and beyond its bounds, and random ones.
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema

from shared.codec_keys import create_keys
from starter.api.openapi import ProblemDocument
from starter.callers import TENANT_SCOPES
from tests.api.outside import Outside, outside
from tests.watch.processes import process, setting

TENANT = "acme"
RETRY = {"max_attempts": 10}
TASKS = ["daily-report", "second", "third"]

OFF = {"enabled": False}
WITHOUT = {
    # Crons, times and names have rules that no schema can say: those requests get their 422.
    "positive_data_acceptance": OFF,
    # After so many wrong tokens from one address all others get 429: `test_tenants` asks for each.
    "ignored_auth": OFF,
    # `register` and `dryrun` may be tasks, and `a/cancel` a run: Allow names their methods too.
    "allow_header_conformance": OFF,
}
SOON = [
    # A whole task has so many fields that their bounds alone make fifteen hundred requests.
    # An event's bodies, in three modes, make as many again: `test_bodies` has those that matter.
    # What is decoded has the fields of what is encoded, and a pause those of a trigger.
    {
        "include-operation-id": ["registerTasks", "receiveEvents", "decodePayloads", "pauseTask"],
        "phases": {"coverage": OFF},
    },
    # Their bodies are those of registerTasks and of pauseTask.
    {
        "include-operation-id": ["rehearseTasks", "resumeTask"],
        "phases": {"coverage": OFF, "fuzzing": OFF},
    },
]
"""What is left out where time is scarce."""


@schemathesis.check
def errors_are_problems(_context: Any, response: Response, case: Any) -> None:
    """The check that is ours: RFC 9457, without exception."""
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/problem+json"]
        document = response.json()
        ProblemDocument.model_validate(document)
        assert document["status"] == response.status_code
        assert response.headers["x-request-id"] == [document["request_id"]]


@dataclass(slots=True)
class Found:
    """What came back: the statuses by operation, and all that is not as documented."""

    statuses: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    faults: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outside]:
    """Temporal, a worker and the API, with encryption on, so that the codec answers too.

    All of their own: tasks are registered here that would fire for the rest of the test run. No
    plugin answers: runs are under way all the while, and can be cancelled.
    """
    folder = tmp_path_factory.mktemp("whole")
    place = setting(folder, "http://127.0.0.1:9", "fuzzed")
    create_keys(folder / "keys", "k1")
    known = {
        **place.environment,
        "TASKFLOW_CODEC_KEYS_FILE": str(folder / "keys"),
        "TASKFLOW_API_REQUESTS_PER_MINUTE": "1000000",
        "TASKFLOW_TEMPORAL_TIMEOUT": "30",  # 503 is a fault here, however slow the machine is
    }
    with process(folder / "server.log", *place.server):
        await place.client()
        with (
            process(folder / "worker.log", *place.worker, **known),
            outside(folder, **known) as served,
        ):
            yield served


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("examples", "whole_tasks"),
    [(2, False), pytest.param(60, True, marks=pytest.mark.soak)],
    ids=["few", "many"],
)
def test_every_answer_is_documented_and_none_is_an_error_of_ours(
    whole: Outside, examples: int, whole_tasks: bool
) -> None:
    """Statuses, content types, headers and documents; and what breaks the schema is refused.

    Each operation succeeds too: what is refused whatever it says would be no test.
    """
    found = Found()
    for event in _events(whole, examples, whole_tasks=whole_tasks):
        _take(found, event)
    assert not found.faults, "\n\n".join(found.faults)
    assert len(found.statuses) == _operations(whole)
    for operation, statuses in found.statuses.items():
        assert any(status < 300 for status in statuses), (operation, statuses)
    assert whole.is_well()


def _events(whole: Outside, examples: int, *, whole_tasks: bool) -> Iterator[events.EngineEvent]:
    own = whole.caller(TENANT, *TENANT_SCOPES)
    runs = _prepared(whole, own)
    config = {
        "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
        "phases": {
            "stateful": OFF,
            "coverage": {"unexpected-methods": ["PATCH", "QUERY"]},
        },
        "checks": WITHOUT,
        "warnings": False,
        "headers": own,
        "dictionaries": {"tasks": {"values": TASKS}, "runs": {"values": runs}},
        "parameters": {
            "query.tenant_id": TENANT,  # of others: `test_tenants`
            "path.task_id": {"dictionary": "tasks", "probability": 0.7},
            "path.run_id": {"dictionary": "runs", "probability": 0.7},
        },
        "operations": [
            {"include-tag": "codec", "headers": whole.caller(None)},
            *([] if whole_tasks else SOON),
        ],
    }
    schema = schemathesis.openapi.from_url(
        f"{whole.url}/openapi.json", config=SchemathesisConfig.from_dict(config)
    )
    return iter(from_schema(schema).execute())


def _prepared(whole: Outside, own: dict[str, str]) -> list[str]:
    """Tasks that are there, one of which an event starts, and the ids of runs."""
    with httpx.Client(base_url=f"{whole.url}/internal/tasks", headers=own, timeout=60) as http:
        for task_id in TASKS:
            triggers = [{"cron": "0 2 * * *"}, {"event": "order.created"}]
            task = {"task_id": task_id, "plugin_id": "p", "triggers": triggers, "retry": RETRY}
            assert http.post("/register", json=task).is_success
        return [http.post(f"/{TASKS[0]}/trigger").json()["run_id"] for _ in range(3)]


def _take(found: Found, event: events.EngineEvent) -> None:
    if isinstance(event, events.ScenarioFinished):
        recorder = event.recorder
        for interaction in recorder.interactions.values():
            if interaction.response:
                found.statuses[recorder.label].add(interaction.response.status_code)
        for checks in recorder.checks.values():
            for check in checks:
                if (wrong := check.failure_info) and check.name not in WITHOUT:
                    said = f"{recorder.label}: {check.name}: {wrong.failure.message}"
                    found.faults.append(f"{said}\n{wrong.code_sample}")
    elif isinstance(event, events.NonFatalError):
        found.faults.append(f"{event.label}: {event.value!r}")
    elif isinstance(event, events.FatalError):
        raise event.exception


def _operations(whole: Outside) -> int:
    document = json.loads(httpx.get(f"{whole.url}/openapi.json").content)
    return sum(len(methods) for methods in document["paths"].values())
