"""The call of a plugin: what it carries, how it is watched and which flags stop it."""

import asyncio
import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from activities.plugin import PluginActivities
from domain.executions import nonce_of
from domain.problems import InvalidInput
from domain.run import Fire, TriggerKind
from domain.states import RunState
from domain.task import Flags
from domain.trace import trace_id
from shared.policy import LivePolicy
from tests.activities.conftest import RUN_ID, TEMPORAL_RUN_ID, Caller, request_of
from tests.activities.server import http, ok, silence
from tests.conftest import POLICY_FILE
from worker.main import http_client

_SUCCESS = ok({"status": "SUCCESS"})
_FAILED = ok({"status": "FAILED", "error_code": "BUSY", "message": "later"})


async def test_the_request_carries_the_contract(caller: Caller) -> None:
    """Path, body and headers are those that plugin runtimes are promised."""
    at = datetime(2026, 11, 23, 2, tzinfo=UTC)
    fire = Fire(kind=TriggerKind.MANUAL, nominal_time=at, trigger_time=at, payload={"a": 1})
    caller.attempt(2)
    before = datetime.now(UTC)
    params = {"scope": "\u00fc", "n": [1, None]}
    await caller.call(params=params, trigger=fire, timeout=timedelta(seconds=60))
    (sent,) = caller.server.requests
    assert sent.line == "POST /plugin/runtime/builder/execute HTTP/1.1"
    assert sent.headers["content-type"] == "application/json"
    deadline = datetime.fromisoformat(sent.body.pop("deadline"))
    assert before <= deadline - timedelta(seconds=60) <= datetime.now(UTC)
    trigger = {"kind": "manual", "nominal_time": "2026-11-23T02:00:00Z", "payload": {"a": 1}}
    assert sent.body == {
        "run_id": RUN_ID,
        "plugin_id": "builder",
        "attempt": 2,
        "tenant_id": "acme",
        "task_id": "report",
        "params": params,
        "trigger": trigger | {"trigger_time": "2026-11-23T02:00:00Z"},
        "heartbeat_timeout": 0.09,
        "fence": 2,
        "nonce": nonce_of(TEMPORAL_RUN_ID, RUN_ID, 2),
        "compensates": None,
    }


async def test_what_a_plugin_would_have_remembered_no_other_call_tells(caller: Caller) -> None:
    """All tenants' calls go through one client: it takes no cookies."""
    body = b'{"status": "SUCCESS"}'
    cookie = {"content_type": "application/json", "set_cookie": "session=acme; Path=/"}
    caller.server.answer = http("200 OK", body, **cookie)
    await caller.call()
    await caller.call()
    first, second = caller.server.requests
    assert "cookie" not in first.headers | second.headers


async def test_attempts_share_a_key_and_a_trace(caller: Caller) -> None:
    """All attempts of a run carry one idempotency key and one trace; spans and fences move on."""
    for number in (1, 2, 3):
        caller.attempt(number)
        await caller.call()
    sent = caller.server.requests
    assert {request.headers["idempotency-key"] for request in sent} == {RUN_ID}
    parents = [request.headers["traceparent"] for request in sent]
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent) for parent in parents)
    assert {parent.split("-")[1] for parent in parents} == {trace_id(RUN_ID, TEMPORAL_RUN_ID)}
    assert len({parent.split("-")[2] for parent in parents}) == 3
    assert [request.body["fence"] for request in sent] == [1, 2, 3]


async def test_redirects_are_not_followed(caller: Caller) -> None:
    """A runtime that points elsewhere is refused: calls go only where the settings say."""
    target = f"{caller.server.url}/elsewhere"
    for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
        error = await caller.failed(http(status, location=target))
        assert (error.type, error.non_retryable) == ("PLUGIN_REFUSED", True)
    assert {request.line.split()[1] for request in caller.server.requests} == {
        "/plugin/runtime/builder/execute"
    }


async def test_proxies_of_the_environment_are_not_used(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the machine's shell was set up for does not see our calls."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with http_client() as client:
        plugins = PluginActivities(client, caller.server.url, lambda _: Flags())
        result = await caller.environment.run(plugins.execute_plugin, request_of())
    assert result.status is RunState.SUCCESS


async def test_a_refused_connection_is_tried_again(caller: Caller) -> None:
    """A runtime that is not there yet is one that may be there later."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with http_client() as client:
        plugins = PluginActivities(client, f"http://127.0.0.1:{port}", lambda _: Flags())
        caller.execute = plugins.execute_plugin
        error = await caller.failed()
    assert (error.type, error.non_retryable) == ("PLUGIN_UNAVAILABLE", False)


async def test_an_open_call_heartbeats_and_a_closed_one_does_not(caller: Caller) -> None:
    """Beats come at a third of the heartbeat timeout, as long as the call is open."""
    await caller.call(silence(0.3, _SUCCESS))
    beats = len(caller.beats)
    assert beats >= 5
    await asyncio.sleep(0.1)
    assert len(caller.beats) == beats


async def test_a_cancelled_call_hangs_up(caller: Caller) -> None:
    """The plugin sees its caller go, and the cancellation reaches Temporal as what it is."""
    call = asyncio.create_task(caller.call(silence(30, _SUCCESS), timeout=timedelta(seconds=60)))
    while not caller.server.requests:  # noqa: ASYNC110 - the server is another's event to set
        await asyncio.sleep(0.01)
    caller.environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(caller.server.left.wait(), 2)


@pytest.mark.parametrize(("answer", "code"), [(_SUCCESS, None), (_FAILED, "BUSY")])
async def test_every_attempt_logs_one_line_with_all_fields(
    caller: Caller, answer: object, code: str | None
) -> None:
    """A line about an attempt can be joined to its run, its trace and its error."""
    assert callable(answer)
    caller.attempt(2)
    with capture_logs() as lines:
        await (caller.failed(answer) if code else caller.call(answer))
    (line,) = lines
    assert line.pop("duration_ms") >= 0
    assert isinstance(line.pop("actual_start"), datetime)
    assert line == {
        "event": "attempt ended",
        "log_level": "info",
        "action": "attempt_ended",
        "task_id": "report",
        "tenant_id": "acme",
        "run_id": RUN_ID,
        "trigger_time": request_of().trigger.trigger_time,
        "status": "FAILED" if code else "SUCCESS",
        "retry_count": 1,
        "error_code": code,
        "trace_id": trace_id(RUN_ID, TEMPORAL_RUN_ID),
    }


async def test_flags_of_the_policy_file_count_for_the_next_call(
    caller: Caller, tmp_path: Path
) -> None:
    """A flag changed on disk changes the next attempt, and a broken file changes nothing."""
    file = tmp_path / "policy.yaml"
    text = POLICY_FILE.read_text()
    file.write_text(text)
    flags = LivePolicy(file, {})
    async with http_client() as client:
        caller.execute = PluginActivities(client, caller.server.url, flags.of).execute_plugin
        assert not (await caller.failed(_FAILED)).non_retryable

        file.write_text(text.replace("task-retry-queue: true", "task-retry-queue: false"))
        error = await caller.failed(_FAILED)
        assert (error.type, error.non_retryable) == ("BUSY", True)
        assert "task-retry-queue is off" in error.message

        file.write_text("flags: {task-retry-queue: true")
        with capture_logs() as lines:
            assert (await caller.failed(_FAILED)).non_retryable
            assert (await caller.failed(_FAILED)).non_retryable
        refusals = [line for line in lines if line.get("action") == "policy_refused"]
        assert len(refusals) == 1, "a broken file is told once and not for every attempt"
        assert flags.warning is not None
        assert str(file) in flags.warning

        file.unlink()
        assert (await caller.failed(_FAILED)).non_retryable

        file.write_text(text.replace("task-scheduler-v3: true", "task-scheduler-v3: false"))
        calls = len(caller.server.requests)
        result = await caller.call(_SUCCESS)
        assert (result.status, result.attempt) == (RunState.SKIPPED, 1)
        assert "task-scheduler-v3" in (result.reason or "")
        assert len(caller.server.requests) == calls, "a skipped run calls nobody"

        file.write_text(text)
        assert (await caller.call(_SUCCESS)).status is RunState.SUCCESS
        assert flags.warning is None


async def test_the_environment_comes_before_the_policy_file(tmp_path: Path) -> None:
    """An override holds whatever the file says, and through every change of it."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY_FILE.read_text())
    flags = LivePolicy(file, {"task-retry-queue": False})
    assert not flags.of("acme").task_retry_queue
    file.write_text(POLICY_FILE.read_text() + "# changed\n")
    assert not flags.of("acme").task_retry_queue


@pytest.mark.parametrize("text", [None, "", "flags: {}", "flags: [", "\0"])
def test_a_worker_does_not_start_on_a_broken_policy(tmp_path: Path, text: str | None) -> None:
    """There are no last good flags yet: the process says what is wrong with which file."""
    file = tmp_path / "policy.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        LivePolicy(file, {})
    assert refusal.value.source == str(file)
    assert refusal.value.problems


async def test_flags_are_those_of_the_tasks_tenant(caller: Caller, flags: dict[str, Flags]) -> None:
    """One tenant's flag stops that tenant only."""
    flags["beta"] = Flags(task_scheduler_v3=False)
    assert (await caller.call(tenant_id="beta")).status is RunState.SKIPPED
    assert (await caller.call(tenant_id="acme")).status is RunState.SUCCESS
