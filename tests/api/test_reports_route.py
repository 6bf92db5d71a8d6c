"""Reports of plugins by HTTP: who may send them, and that they never make a run go back.

Fault rows 17 and 18, on real runs.
"""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count, permutations
from typing import Any

import httpx
import pytest
from structlog.typing import EventDict
from temporalio.client import Client

from pluginkit.answers import Answer
from pluginkit.reports import Heard, Report, Reporter, final, running
from pluginkit.requests import Execution
from pluginkit.secrets import secrets_of
from shared.webhooks import ID, SIGNATURE, TIMESTAMP, Secret, sign
from starter.callers import Scope
from tests.api.harness import HERE, Door, door
from tests.api.test_problems import EVENTS, problem
from tests.executions.harness import Executions, Told

OLD, NEW, FORGED = (Secret(bytes([number]) * 32) for number in (1, 2, 3))


def _shown(secret: Secret) -> str:
    return f"whsec_{base64.b64encode(secret.key).decode()}"


@pytest.fixture(scope="module")
async def runtime_api(
    temporal: Client, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """An app that shares two secrets with the plugin runtime."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "secret").write_text(f"{_shown(NEW)}\n{_shown(OLD)}\n")
    async with door(temporal, folder, plugin_secret_file=folder / "secret") as opened:
        yield opened


def _event(data: dict[str, Any]) -> bytes:
    return json.dumps(
        {"specversion": "1.0", "type": "task.execution.updated", "data": data}
    ).encode()


_numbers = count(1)


def _signed(body: bytes, secret: Secret = NEW, *, ago: float = 0) -> dict[str, str]:
    now = datetime.now(UTC) - timedelta(seconds=ago)
    headers = sign([secret], f"msg_{next(_numbers)}", body, now=now)
    return {**headers, "Content-Type": "application/cloudevents+json"}


async def _send(api: Door, told: Told, *said: Any, **fields: Any) -> httpx.Response:
    body = _event(told.says(*said, **fields).model_dump(mode="json"))
    return await api.http.post(EVENTS, content=body, headers=_signed(body))


async def _outcome(api: Door, told: Told, *said: Any, **fields: Any) -> str:
    answer = await _send(api, told, *said, **fields)
    if answer.status_code == 200:
        return "duplicate" if answer.json()["duplicate"] else "taken"
    assert answer.status_code in (404, 409)
    return str(problem(answer, answer.status_code, answer.json()["code"])["code"])


async def test_a_signed_report_ends_the_execution(
    runtime_api: Door, executions: Executions, logs: list[EventDict]
) -> None:
    """Progress shows, the result is the run's, and the audit names the run and never the nonce."""
    run = await executions.start()
    told = await run.accepted()
    answer = await _send(runtime_api, told, 0, progress={"done": 1})
    assert answer.json() == {"duplicate": False, "cancel_requested": False}
    progress = await told.progress()
    assert progress is not None
    assert progress.progress == {"done": 1}
    assert await _outcome(runtime_api, told, 1, "SUCCESS", result=[1]) == "taken"
    end = await run.end()
    assert end.result is not None
    assert end.result.result == [1]
    first, second = (line for line in logs if line.get("action") == "audit")
    assert first["who"] == "plugin runtime"
    assert (first["tenant_id"], first["ids"]["run_id"]) == ("acme", run.handle.id)
    assert (first["status"], second["ids"]["sequence"]) == (200, "1")
    assert told.body["nonce"] not in str(logs)


async def test_what_pluginkit_reports_is_taken(runtime_api: Door, executions: Executions) -> None:
    """The helper of plugins in Python and the API speak the same, signature and all."""
    run = await executions.start()
    told = await run.accepted()
    execution = Execution.model_validate(told.body)
    transport = httpx.ASGITransport(runtime_api.app)
    reporter = Reporter(HERE, secrets_of(_shown(NEW)), transport)
    for said in (running({"done": 1}, "reading"), final(Answer(status="SUCCESS", result=[7]))):
        sequence = 0 if said["status"] == "RUNNING" else 1
        heard, _ = await reporter.send(Report("builder", execution, sequence, said), timeout=10)
        assert heard is Heard.TAKEN
    heard, _ = await reporter.send(Report("builder", execution, 2, running(None, None)), timeout=10)
    assert heard is Heard.OVER
    await reporter.close()
    end = await run.end()
    assert end.result is not None
    assert end.result.result == [7]


@pytest.mark.fault(17)
async def test_reports_in_any_order_and_twice_never_make_a_run_go_back(
    runtime_api: Door, executions: Executions
) -> None:
    """Older ones change nothing, after the end nothing does: each order of three, twice each."""
    steps: dict[int, dict[str, Any]] = {0: {}, 1: {"progress": 5}, 2: {"status": "SUCCESS"}}

    async def play(order: tuple[int, ...]) -> None:
        run = await executions.start()
        told = await run.accepted()
        newest = -1
        for sequence in order:
            expected = "taken" if sequence > newest else "duplicate"
            if newest == 2:
                expected = "over"
            for again in (expected, "over" if sequence == 2 or newest == 2 else "duplicate"):
                found = await _outcome(runtime_api, told, sequence, **steps[sequence])
                assert ("over" if found in _OVER else found) == again, (order, sequence)
            newest = max(newest, sequence)
        await run.end()

    await asyncio.gather(*(play(order) for order in permutations(steps)))


_OVER = ("ALREADY_ENDED", "OLD_ATTEMPT")


async def test_the_same_end_a_hundred_times_is_one(
    runtime_api: Door, executions: Executions
) -> None:
    """One is taken, and the others hear that it is over."""
    run = await executions.start()
    told = await run.accepted()
    outcomes = Counter(
        await asyncio.gather(*(_outcome(runtime_api, told, 0, "SUCCESS") for _ in range(100)))
    )
    assert outcomes["taken"] == 1
    assert outcomes.total() - 1 == sum(outcomes[code] for code in _OVER)
    await run.end()


@pytest.mark.fault(18)
async def test_a_request_that_was_taken_and_is_replayed_is_401(
    runtime_api: Door, executions: Executions
) -> None:
    """The very same bytes, whatever stands beside the signature; signed anew they may come."""
    run = await executions.start()
    told = await run.accepted()
    body = _event(told.says(0, progress=1).model_dump(mode="json"))
    headers = _signed(body)

    async def send(headers: dict[str, str]) -> httpx.Response:
        return await runtime_api.http.post(EVENTS, content=body, headers=headers)

    answers = await asyncio.gather(*(send(headers) for _ in range(20)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 19}
    for disguised in (headers, {**headers, SIGNATURE: f"v1,AAAA {headers[SIGNATURE]}"}):
        problem(await send(disguised), 401, "REPLAYED_SIGNATURE")
    assert (await send(_signed(body))).json()["duplicate"]
    assert await _outcome(runtime_api, told, 1, "SUCCESS") == "taken"
    await run.end()


async def test_a_request_that_could_not_be_taken_may_be_repeated(runtime_api: Door) -> None:
    """Nothing came of it, so the same bytes are no replay."""
    body = _report()
    headers = _signed(body)
    for _ in range(2):
        answer = await runtime_api.http.post(EVENTS, content=body, headers=headers)
        problem(answer, 404, "NOT_FOUND")


@pytest.mark.fault(17)
async def test_old_attempts_ended_runs_and_foreign_ones(
    runtime_api: Door, executions: Executions
) -> None:
    """409 for what came too late, 404 for what is not theirs; neither tells more than that."""
    run = await executions.start(attempts=2)
    first = await run.accepted(1)
    assert await _outcome(runtime_api, first, 0, "FAILED", error_code="BUSY") == "taken"
    second = await run.accepted(2)
    assert await _outcome(runtime_api, first, 9, "SUCCESS") == "OLD_ATTEMPT"
    for wrong in ({"nonce": "0" * 32}, {"attempt": 3}, {"run_id": "run/acme/other-x"}):
        assert await _outcome(runtime_api, second, 0, "SUCCESS", **wrong) == "NOT_FOUND"
    beta = runtime_api.caller("beta", Scope.EVENT_PUBLISH)
    acme = runtime_api.caller("acme", Scope.EVENT_PUBLISH)
    told = _event(second.says(0, "SUCCESS").model_dump(mode="json"))
    json_type = {"Content-Type": "application/json"}
    answer = await runtime_api.http.post(EVENTS, content=told, headers={**json_type, **beta})
    problem(answer, 404, "NOT_FOUND")
    answer = await runtime_api.http.post(EVENTS, content=told, headers={**json_type, **acme})
    assert answer.status_code == 200
    assert await _outcome(runtime_api, second, 1, "SUCCESS") == "ALREADY_ENDED"
    await run.ends()


async def test_a_result_may_be_as_large_as_in_an_answer(
    runtime_api: Door, executions: Executions
) -> None:
    """256 KiB pass, though an event is smaller; a report that is larger still is refused."""
    run = await executions.start()
    told = await run.accepted()
    answer = await _send(runtime_api, told, 0, result="x" * 320 * 1024)
    problem(answer, 413, "BODY_TOO_LARGE")
    assert await _outcome(runtime_api, told, 0, "SUCCESS", result="x" * 250_000) == "taken"
    end = await run.end()
    assert end.result is not None
    assert end.result.result == "x" * 250_000


def _report() -> bytes:
    run_id = "run/acme/none-2026-11-23T02:00:00Z"
    return _event(
        {"run_id": run_id, "attempt": 1, "nonce": "0" * 32, "sequence": 0, "status": "RUNNING"}
    )


async def test_each_secret_of_the_file_is_taken(runtime_api: Door) -> None:
    """While secrets change both are in force: the run is what is not found, not the signature."""
    body = _report()
    for secret in (OLD, NEW):
        answer = await runtime_api.http.post(EVENTS, content=body, headers=_signed(body, secret))
        problem(answer, 404, "NOT_FOUND")


def _forgeries() -> dict[str, dict[str, str]]:
    body = _report()
    good = _signed(body)
    now = str(int(time.time()))
    return {
        "another secret": _signed(body, FORGED),
        "another body": _signed(body + b" "),
        "stale": _signed(body, ago=301),
        "of the future": _signed(body, ago=-302),
        "another time": {**good, TIMESTAMP: str(int(now) - 10)},
        "another id": {**good, ID: "msg_0"},
        "an id with a full stop": {**good, ID: "msg_1.5"},
        "no id": {**good, ID: ""},
        "no time": {**good, TIMESTAMP: ""},
        "no number": {**good, TIMESTAMP: "now"},
        "not finite": {**good, TIMESTAMP: "nan"},
        "endless": {**good, TIMESTAMP: "9" * 4000},
        "empty": {**good, SIGNATURE: ""},
        "no base64": {**good, SIGNATURE: "v1,???"},
        "no version": {**good, SIGNATURE: good[SIGNATURE].removeprefix("v1,")},
        "another version": {**good, SIGNATURE: good[SIGNATURE].replace("v1,", "v2,")},
        "many": {**good, SIGNATURE: "v1,x " * 1000},
        "not ASCII": {**good, SIGNATURE: "v1,\u00fc"},
    }


@pytest.mark.fault(18)
@pytest.mark.parametrize("kind", _forgeries())
async def test_a_signature_that_is_not_right_is_401(runtime_api: Door, kind: str) -> None:
    """Forged, stale, malformed: always the same answer, and never the fault of the API."""
    headers = [(n.encode(), v.encode()) for n, v in _forgeries()[kind].items()]
    answer = await runtime_api.http.post(EVENTS, content=_report(), headers=headers)
    problem(answer, 401, "BAD_SIGNATURE")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.fault(18)
async def test_a_report_without_signature_or_token_is_401(runtime_api: Door, api: Door) -> None:
    """Also a signed one, where no secret is shared with anybody."""
    body = _report()
    json_type = {"Content-Type": "application/json"}
    answer = await runtime_api.http.post(EVENTS, content=body, headers=json_type)
    problem(answer, 401, "CREDENTIALS_MISSING")
    problem(await api.http.post(EVENTS, content=body, headers=_signed(body)), 401, "BAD_SIGNATURE")


async def test_a_wrong_token_is_not_mended_by_a_signature(runtime_api: Door) -> None:
    """Who shows a token is known by it."""
    body = _report()
    headers = {**_signed(body), "Authorization": "Bearer nonsense"}
    problem(
        await runtime_api.http.post(EVENTS, content=body, headers=headers), 401, "TOKEN_INVALID"
    )


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        (b"[]", 422, ""),
        (b'{"type": "order.created", "data": {}}', 422, "type"),
        (b'{"type": ["task.execution.updated"]}', 422, "type"),
        (b'{"type": "task.execution.updated"}', 422, "data"),
        (b'{"type": "task.execution.updated", "data": {"attempt": "1"}}', 422, "data.attempt"),
        (b'{"data": 1e999}', 400, "data"),
        (b"{", 400, ""),
    ],
)
async def test_what_a_runtime_signed_must_be_a_report(
    runtime_api: Door, body: bytes, status: int, path: str
) -> None:
    """A right signature makes no report of nonsense; what is wrong is named."""
    answer = await runtime_api.http.post(EVENTS, content=body, headers=_signed(body))
    code = "INVALID_INPUT" if status == 422 else "UNREADABLE_BODY"
    assert path in [error["path"] for error in problem(answer, status, code)["errors"]]
