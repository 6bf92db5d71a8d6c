"""One attempt as its run counts it: what it carries, what is told meanwhile, and what holds it."""

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from temporalio.exceptions import ApplicationError

from activities.plugin import MAX_REQUEST_BYTES, PluginActivities, Publish
from domain.events_out import Published, RunChanges
from domain.executions import nonce_of
from domain.run import AttemptDetails
from domain.states import RunState
from domain.task import Flags
from tests.activities.conftest import RUN_ID, TEMPORAL_RUN_ID, Caller, request_of
from tests.activities.server import http, ok, silence

_SUCCESS = ok({"status": "SUCCESS"})
_FAILED = ok({"status": "FAILED", "error_code": "BUSY", "message": "later"})
_ACCEPTED = http("202 Accepted", b"{}")
CHANGES = RunChanges(
    tenant_id="acme",
    task_id="report",
    plugin_id="builder",
    run_id=RUN_ID,
    trace_id="0" * 32,
    changes=[],
)
DELIVERED = Published(sinks=True)


async def test_the_run_counts_and_not_temporal(caller: Caller) -> None:
    """Number, fence and nonce are those of the run's attempt, whatever Temporal's number is."""
    result = await caller.call(attempt=3, fence=2)
    (sent,) = caller.server.requests
    assert result.attempt == 3
    assert (sent.body["attempt"], sent.body["fence"]) == (3, 2003)
    assert sent.body["nonce"] == nonce_of(TEMPORAL_RUN_ID, RUN_ID, 3)


async def test_a_compensation_has_a_key_of_its_own(caller: Caller) -> None:
    """A plugin that is also the compensating one never takes the two calls for one."""
    await caller.call(attempt=1, compensates=True)
    (sent,) = caller.server.requests
    key = f"{RUN_ID}/compensation"
    assert (sent.headers["idempotency-key"], sent.body["run_id"]) == (key, key)
    assert sent.body["compensates"] == RUN_ID
    assert sent.body["nonce"] == nonce_of(TEMPORAL_RUN_ID, key, 1)


async def test_a_run_that_counts_also_waits(caller: Caller) -> None:
    """The plugin's wish goes to the run with the details; Temporal is not to act on it too."""
    error = await caller.failed(http("429 No", retry_after="7"), attempt=2)
    assert error.next_retry_delay is None
    assert _details(error) == AttemptDetails(attempt=2, retry_after_s=7.0)
    error = await caller.failed(http("503 No", retry_after="86400"), attempt=2)
    assert _details(error).retry_after_s == 3600
    error = await caller.failed(http("429 No", retry_after="7"))
    assert error.next_retry_delay == timedelta(seconds=7)


async def test_details_tell_that_retries_are_off(caller: Caller, flags: dict[str, Flags]) -> None:
    """A run can tell a failure that is final from one that only the flag makes so."""
    flags["acme"] = Flags(task_retry_queue=False)
    error = await caller.failed(_FAILED, attempt=1)
    assert error.non_retryable
    assert _details(error) == AttemptDetails(attempt=1, retries=False)
    assert "task-retry-queue is off" in error.message


async def test_a_short_call_that_is_accepted_says_so(caller: Caller) -> None:
    """Whoever cannot wait for a report learns that there will be one."""
    result = await caller.call(_ACCEPTED, attempt=1, short=True)
    assert (result.status, result.accepted, result.attempt) == (RunState.RUNNING, True, 1)


async def test_a_local_activity_does_not_heartbeat(caller: Caller) -> None:
    """It has no heartbeats to give, and cannot be completed by others."""
    caller.environment.info = replace(caller.environment.info, is_local=True)
    assert (await caller.call(silence(0.2, _ACCEPTED), attempt=1)).accepted
    assert not caller.beats


@pytest.mark.parametrize("where", ["params", "payload"])
async def test_a_call_that_is_too_large_is_not_made(caller: Caller, where: str) -> None:
    """The limit is on what is sent, in bytes, and is named; nobody is called in vain."""
    text = "\u00fc" * (MAX_REQUEST_BYTES // 2)
    changed: dict[str, Any] = {"params": {"text": text}}
    if where == "payload":
        changed = {"trigger": request_of().trigger.model_copy(update={"payload": text})}
    error = await caller.failed(attempt=1, **changed)
    assert (error.type, error.non_retryable) == ("PARAMS_TOO_LARGE", True)
    assert str(MAX_REQUEST_BYTES) in error.message
    assert not caller.server.requests
    await caller.call(params={"text": "x" * (MAX_REQUEST_BYTES - 1000)}, attempt=1)
    assert len(json.dumps(caller.server.requests[0].body)) > MAX_REQUEST_BYTES - 1000


async def test_changes_are_told_while_the_plugin_works(caller: Caller, told: "Told") -> None:
    """Telling costs the run no time, and what came of it goes back with the result."""
    began = datetime.now(UTC)
    told.seconds = 0.3
    result = await caller.call(silence(0.3, _SUCCESS), attempt=1, changes=CHANGES)
    assert datetime.now(UTC) - began < timedelta(seconds=0.55)
    assert result.published == DELIVERED
    error = await caller.failed(_FAILED, attempt=1, changes=CHANGES)
    assert _details(error).published == DELIVERED
    short = await caller.call(_ACCEPTED, attempt=1, short=True, changes=CHANGES)
    assert short.published == DELIVERED
    assert told.changes == [CHANGES] * 3


async def test_changes_that_cannot_be_told_fail_nothing(caller: Caller, told: "Told") -> None:
    """Then they are still to be told, and the result says so."""
    told.error = RuntimeError("no sink")
    with capture_logs() as lines:
        assert (await caller.call(_SUCCESS, attempt=1, changes=CHANGES)).published is None
    assert [line["reason"] for line in lines if line["action"] == "publish_failed"] == ["no sink"]
    assert _details(await caller.failed(_FAILED, attempt=1, changes=CHANGES)).published is None


async def test_an_answer_does_not_wait_for_ever_to_be_told(
    caller: Caller, told: "Told", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sink that hangs holds up no run."""
    monkeypatch.setattr("activities.plugin.PUBLISH_PATIENCE", 0.1)
    told.seconds = 60
    result = await asyncio.wait_for(caller.call(_SUCCESS, attempt=1, changes=CHANGES), 2)
    assert (result.status, result.published) == (RunState.SUCCESS, None)
    await asyncio.sleep(0)
    assert told.left == 1


async def test_a_cancelled_call_stops_telling(caller: Caller, told: "Told") -> None:
    """Nothing of it is left behind in the worker."""
    told.seconds = 60
    call = asyncio.create_task(caller.call(silence(30, _SUCCESS), attempt=1, changes=CHANGES))
    while not caller.server.requests:  # noqa: ASYNC110 - the server is another's event to set
        await asyncio.sleep(0.01)
    caller.environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0)
    assert told.left == 1


async def test_an_open_circuit_lets_no_call_through(caller: Caller, breakers: "Breakers") -> None:
    """The run is told since when, why, and when to come again; that is no attempt of the plugin."""
    now = datetime.now(UTC)
    breakers.wait = Wait(now + timedelta(seconds=20), now - timedelta(minutes=1), "9 of 10 failed")
    error = await caller.failed(_SUCCESS, attempt=4)
    assert (error.type, error.non_retryable) == ("PLUGIN_CIRCUIT_OPEN", False)
    assert "9 of 10 failed" in error.message
    assert breakers.wait.since.strftime("%Y-%m-%d %H:%M:%S UTC") in error.message
    details = _details(error)
    assert (details.attempt, details.waits) == (4, True)
    assert details.retry_after_s == pytest.approx(20, abs=1)
    assert not caller.server.requests
    assert not breakers.records
    assert breakers.asked == [("builder", RUN_ID, 4)]


async def test_an_open_circuit_is_waited_for_though_retries_are_off(
    caller: Caller, breakers: "Breakers", flags: dict[str, Flags]
) -> None:
    """The first failure is final then, and this is none."""
    flags["acme"] = Flags(task_retry_queue=False)
    now = datetime.now(UTC)
    breakers.wait = Wait(now + timedelta(seconds=20), now, "it fails")
    error = await caller.failed(_SUCCESS, attempt=1)
    assert not error.non_retryable
    assert "task-retry-queue" not in error.message


async def test_every_call_that_was_made_is_recorded(caller: Caller, breakers: "Breakers") -> None:
    """With its error code, or none: also a 202 says that the plugin is there. In the same task as
    it was admitted, by which a probe is known.
    """
    await caller.call(_SUCCESS, attempt=1)
    await caller.failed(_FAILED, attempt=1)
    await caller.failed(http("500 No"), attempt=1)
    await caller.call(_ACCEPTED, attempt=1, short=True)
    codes = [None, "BUSY", "PLUGIN_UNAVAILABLE", None]
    assert breakers.records == [("builder", "acme", code) for code in codes]
    assert breakers.admitted_in == breakers.recorded_in


async def test_a_stopping_worker_says_what_became_of_its_call(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past its grace a call is given up; that is no cancellation of the run, and is tried again."""
    call = asyncio.create_task(caller.failed(silence(30, _SUCCESS), attempt=1))
    while not caller.server.requests:  # noqa: ASYNC110 - the server is another's event to set
        await asyncio.sleep(0.01)
    monkeypatch.setattr("activities.plugin._is_stopping", lambda: True)
    caller.environment.cancel()
    error = await call
    assert (error.type, error.non_retryable) == ("WORKER_LOST", False)
    assert "stopped" in error.message


@dataclass(slots=True)
class Told:
    """A `publish` that takes its time, or fails; `left` counts the calls that were cut off."""

    seconds: float = 0.0
    error: Exception | None = None
    changes: list[RunChanges] = field(default_factory=list)
    left: int = 0

    async def publish(self, changes: RunChanges) -> Published:
        """Tell."""
        self.changes.append(changes)
        if self.error:
            raise self.error
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.left += 1
            raise
        return DELIVERED


@dataclass(frozen=True, slots=True)
class Wait:
    """An open circuit."""

    retry_at: datetime
    since: datetime
    reason: str


@dataclass(slots=True)
class Breakers:
    """What a worker's breakers are asked and told."""

    wait: Wait | None = None
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    records: list[tuple[str, str, str | None]] = field(default_factory=list)
    admitted_in: list[asyncio.Task[object] | None] = field(default_factory=list)
    recorded_in: list[asyncio.Task[object] | None] = field(default_factory=list)

    async def admit(self, plugin_id: str, key: str, attempt: int) -> Wait | None:
        """Asked before each call."""
        self.asked.append((plugin_id, key, attempt))
        self.admitted_in.append(asyncio.current_task())
        return self.wait

    def record(
        self, plugin_id: str, tenant_id: str, error_code: str | None, probe: bool = False
    ) -> None:
        """Told after each call."""
        self.records.append((plugin_id, tenant_id, error_code))
        self.recorded_in.append(asyncio.current_task())


@pytest.fixture
async def told(caller: Caller, flags: dict[str, Flags], client: httpx.AsyncClient) -> Told:
    """State changes are told to it."""
    made = Told()
    caller.execute = _with(caller, flags, client, publish=made.publish).execute_plugin
    return made


@pytest.fixture
async def breakers(caller: Caller, flags: dict[str, Flags], client: httpx.AsyncClient) -> Breakers:
    """Decides whether plugins are called."""
    made = Breakers()
    caller.execute = _with(caller, flags, client, breakers=made).execute_plugin
    return made


def _with(
    caller: Caller,
    flags: dict[str, Flags],
    client: httpx.AsyncClient,
    *,
    publish: Publish | None = None,
    breakers: Breakers | None = None,
) -> PluginActivities:
    url = caller.server.url
    return PluginActivities(client, url, flags.__getitem__, publish=publish, breakers=breakers)


def _details(error: ApplicationError) -> AttemptDetails:
    match error.details:
        case [{"attempt": int()} as found]:
            return AttemptDetails.model_validate(found)
    raise AssertionError(error.details)
