"""Runs of a real API, worker and sandbox, as a trace and as lines of logs."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from subprocess import Popen
from typing import Any

import httpx
import pytest

from domain.run_line import RUN_FIELDS
from domain.trace import header
from sandbox.client import SandboxClient
from starter.callers import Scope
from tests.starter.harness import eventually, eventually_async
from tests.tracing.receiver import Taken
from tests.tracing.scene import PATIENCE, TENANT, Scene

SENDER = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.fixture(scope="module")
def worker(traced: Scene) -> "Iterator[Popen[bytes]]":
    """A worker for the tests of this file; the last of them kills it."""
    with traced.worker("worker") as child:
        yield child


@pytest.fixture(scope="module")
def http(traced: Scene) -> Iterator[httpx.Client]:
    """Somebody of a tenant that has a mutex group."""
    admin = traced.api.caller(None, Scope.ADMIN)
    tenants = [{"tenant_id": TENANT, "mutex_groups": {"books": 1}}]
    url = f"{traced.api.url}/internal/tasks/register"
    answer = httpx.post(
        url, params={"tenant_id": TENANT}, json={"tenants": tenants}, headers=admin, timeout=60
    )
    assert answer.is_success, answer.text
    with traced.caller() as caller:
        yield caller


def registered(http: httpx.Client, task_id: str, **said: Any) -> None:
    """A task of a plugin of its own name."""
    task = {"task_id": task_id, "plugin_id": task_id, "triggers": [{"event": "never"}]} | said
    answer = http.post("/tasks/register", json=task)
    assert answer.is_success, answer.text


def triggered(http: httpx.Client, task_id: str, **headers: str) -> str:
    """A run by hand."""
    answer = http.post(f"/tasks/{task_id}/trigger", json={}, headers=headers)
    assert answer.is_success, answer.text
    return str(answer.json()["run_id"])


def whole(traced: Scene, trace: str, *last: str) -> dict[str, list[Taken]]:
    """The trace once its last spans are there; each parent in it is one of its spans."""

    def look() -> dict[str, list[Taken]] | None:
        found = traced.receiver.of(trace)
        return found if {"run", *last} <= set(found) else None

    spans = eventually(look, within=PATIENCE)
    assert spans
    known = {span.span for several in spans.values() for span in several}
    assert {span.parent for several in spans.values() for span in several} <= known | {""}
    assert [span.name for several in spans.values() for span in several if not span.parent] == [
        name for name in spans if name.startswith("trigger ")
    ]
    return spans


@pytest.fixture(scope="module")
async def undone(
    traced: Scene, worker: object, http: httpx.Client, plugin_url: str
) -> dict[str, Any]:
    """A run that was asked for with a `traceparent`, failed twice, and was compensated."""
    async with SandboxClient(plugin_url) as plugin:
        await plugin.reset()
        await plugin.configure("undone", script=["fail:BUSY", "fail:BROKEN"])
    registered(
        http,
        "undone",
        mutex=["books"],
        resources={"slots": 1},
        retry={"max_attempts": 2, "initial_interval": "100ms"},
        compensation={"plugin_id": "undoer", "params": {"action": "rollback"}},
        work_order="on_failure",
    )
    run = traced.ended(http, triggered(http, "undone", traceparent=header(*SENDER)))
    assert run["status"] == "COMPENSATED"
    return run


async def test_a_run_is_one_trace_from_the_request_to_its_notice(
    traced: Scene, undone: dict[str, Any], plugin_url: str
) -> None:
    """Request, trigger, run, admission, capacity, attempts, compensation, notice: right parents."""
    spans = whole(traced, undone["trace_id"], "notify")

    [trigger] = spans["trigger manual"]
    [told] = spans["run"]
    assert (trigger.service, trigger.kind) == ("taskflow-api", "PRODUCER")
    assert (told.service, told.parent) == ("taskflow-worker", trigger.span)
    assert told.attributes["taskflow.status"] == "COMPENSATED"
    assert told.attributes["taskflow.retry_count"] == 1
    requests = traced.receiver.of(SENDER[0])["POST /internal/tasks/{task_id}/trigger"]
    [request] = requests
    assert (request.kind, request.parent) == ("SERVER", SENDER[1])
    assert trigger.links == [(request.trace, request.span)]
    assert request.links == [(trigger.trace, trigger.span)]

    first, second = spans["attempt"]
    assert [first.failed, second.failed] == ["BUSY", "BROKEN"]
    [compensation] = spans["compensation"]
    [admission] = spans["admission"]
    [reserved] = spans["reserve_capacity"]
    [notify] = spans["notify"]
    beneath = [
        first,
        second,
        compensation,
        admission,
        reserved,
        notify,
        *spans["release_capacity"],
    ]
    assert {span.parent for span in beneath} == {told.span}
    assert admission.attributes["taskflow.admission.answer"] == "granted"
    assert [call.parent for call in spans["execute_plugin"]] == [
        first.span,
        second.span,
        compensation.span,
    ]
    assert trigger.began <= admission.began <= first.began <= second.began <= compensation.began

    async with SandboxClient(plugin_url) as plugin:
        deliveries = await plugin.deliveries(task_id="undone")
    parents = [delivery.traceparent for delivery in deliveries]
    assert parents == [header(told.trace, span.span) for span in (first, second, compensation)]


def test_lines_of_all_processes_about_that_run_have_all_fields(
    traced: Scene, undone: dict[str, Any]
) -> None:
    """Lines of the API, of workflows and of activities; what is not known yet is null."""
    run_id = undone["run_id"]
    eventually(
        lambda: [line for line in traced.lines("worker") if line["action"] == "breach_notified"],
        within=PATIENCE,
    )
    lines = {name: traced.lines(name) for name in ("api", "worker")}
    about = [line for found in lines.values() for line in found if line.get("run_id") == run_id]
    assert {line["action"] for line in about} >= {
        "run_started",
        "capacity_asked",
        "attempt_ended",
        "run_ended",
        "capacity_released",
        "breach_raised",
        "breach_notified",
    }
    for line in about:
        assert set(RUN_FIELDS) <= set(line), line
        assert line["trace_id"] == undone["trace_id"], line
        assert (line["tenant_id"], line["task_id"]) == (TENANT, "undone"), line
    [ended] = [line for line in about if line["action"] == "run_ended"]
    assert {name: ended[name] for name in ("status", "retry_count", "error_code")} == {
        "status": "COMPENSATED",
        "retry_count": 1,
        "error_code": "BROKEN",
    }
    assert ended["event"] == "run ended"
    assert ended["duration_ms"] == undone["duration_ms"]
    assert ended["actual_start"][:23] == undone["actual_start"][:23]
    [started] = [line for line in about if line["action"] == "run_started"]
    assert (started["actual_start"], started["duration_ms"]) == (None, None)
    assert started["request_trace_id"] == SENDER[0]
    [audited] = [
        line
        for line in lines["api"]
        if line["action"] == "audit" and line["ids"].get("run_id") == run_id
    ]
    assert (audited["request_id"], audited["trace_id"]) == (started["request_id"], SENDER[0])


def test_the_run_of_a_schedule_is_a_trace_that_begins_when_it_was_due(
    traced: Scene, worker: object, http: httpx.Client
) -> None:
    """Nobody of ours lives where a schedule fires: the worker tells of it, short calls included."""
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=8)
    registered(http, "once", triggers=[{"at": due.isoformat()}])
    listed = eventually(lambda: http.get("/tasks/once/runs").json()["runs"], within=PATIENCE)
    run = traced.ended(http, listed[0]["run_id"])
    assert run["status"] == "SUCCESS"
    spans = whole(traced, run["trace_id"])
    [trigger], [told], [attempt] = spans["trigger schedule"], spans["run"], spans["attempt"]
    assert (trigger.service, trigger.began) == ("taskflow-worker", due)
    assert trigger.ended == told.began
    assert (told.parent, attempt.parent) == (trigger.span, told.span)
    assert set(spans) == {"trigger schedule", "run", "attempt", "execute_plugin"}


async def test_a_run_whose_worker_was_lost_keeps_its_trace(
    traced: Scene, worker: "Popen[bytes]", http: httpx.Client, plugin: SandboxClient
) -> None:
    """What the lost one did not tell of is missing; no span is left without its parent.

    The worker that takes over then meets a receiver that keeps it waiting, and goes on as before.
    """
    await plugin.configure("lost", script=["hang", "ok"])
    registered(
        http,
        "lost",
        mutex=["books"],
        timeout="20s",
        heartbeat_timeout="1s",
        retry={"max_attempts": 2, "initial_interval": "100ms"},
    )
    run_id = triggered(http, "lost")

    async def called() -> bool:
        return bool(await plugin.deliveries(task_id="lost"))

    await eventually_async(called, within=PATIENCE)
    worker.kill()
    with traced.worker("another") as another:
        run = traced.ended(http, run_id)
        assert (run["status"], run["retry_count"]) == ("SUCCESS", 1)
        spans = whole(traced, run["trace_id"])
        assert [span.failed for span in spans["attempt"]] == ["WORKER_LOST", None]
        assert len(spans["run"]) == len(spans["trigger manual"]) == 1
        [second] = spans["execute_plugin"]
        assert second.parent == spans["attempt"][1].span
        a_receiver_that_does_not_answer_delays_nothing(traced, another, http)


def a_receiver_that_does_not_answer_delays_nothing(
    traced: Scene, worker: "Popen[bytes]", http: httpx.Client
) -> None:
    """Runs end while whoever takes their spans keeps them waiting, and so does the process."""
    registered(http, "beside")
    traced.receiver.answers.clear()
    try:
        traced.ended(http, triggered(http, "beside"))
        eventually(lambda: traced.receiver.waiting > 0, within=PATIENCE)
        for _ in range(3):
            assert traced.ended(http, triggered(http, "beside"))["status"] == "SUCCESS"
        assert traced.receiver.waiting > 0
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE / 2) == 0
        assert traced.receiver.waiting > 0
    finally:
        traced.receiver.answers.set()
    assert traced.api.is_well()
    assert "Traceback" not in (traced.folder / "another.log").read_text()
