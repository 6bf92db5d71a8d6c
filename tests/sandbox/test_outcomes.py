"""What the caller sees, for every word of a script."""

import contextlib
import json
import time
from typing import Any

import httpx
import pytest

from sandbox.client import SandboxClient
from tests.sandbox.harness import body, code_of, execute, new_key, request, until_arrived


def failed(code: str, *, retryable: bool) -> dict[str, Any]:
    """The body of a failure."""
    return {
        "status": "FAILED",
        "result": None,
        "error_code": code,
        "message": f"the sandbox was told to fail with {code}",
        "retryable": retryable,
    }


async def test_a_plugin_that_nobody_configured_succeeds(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """The default is a plugin that succeeds at once with no result."""
    answer = await execute(http, "unknown")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "SUCCESS",
        "result": None,
        "error_code": None,
        "message": None,
        "retryable": False,
    }
    assert [found.outcome for found in await sandbox.deliveries()] == ["ok"]


async def test_success_gives_the_result_back(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """The result of the knobs is the result of the plugin, whatever JSON it is."""
    await sandbox.configure("builder", result={"rows": [1, 2.5, None, "ü"]})
    answer = await execute(http, "builder")
    assert answer.json()["result"] == {"rows": [1, 2.5, None, "ü"]}


@pytest.mark.parametrize(
    ("word", "retryable"), [("fail:OUT_OF_STOCK", True), ("reject:OUT_OF_STOCK", False)]
)
async def test_failures_carry_code_and_retryable(
    sandbox: SandboxClient, http: httpx.AsyncClient, word: str, retryable: bool
) -> None:
    """`fail` may be retried, `reject` may not; both are 200."""
    await sandbox.configure("broken", script=[word])
    answer = await execute(http, "broken")
    assert answer.status_code == 200
    assert answer.json() == failed("OUT_OF_STOCK", retryable=retryable)


@pytest.mark.parametrize(
    ("word", "status", "retry_after"),
    [("503", 503, None), ("429:2", 429, "2"), ("422", 422, None), ("599", 599, None)],
)
async def test_status_codes_are_problems(
    sandbox: SandboxClient,
    http: httpx.AsyncClient,
    word: str,
    status: int,
    retry_after: str | None,
) -> None:
    """A status is answered as problem+json, with Retry-After when the script names seconds."""
    await sandbox.configure("gateway", script=[word])
    answer = await execute(http, "gateway")
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == retry_after
    assert code_of(answer) == f"SCRIPTED_{status}"


async def test_accept_is_202(sandbox: SandboxClient, http: httpx.AsyncClient) -> None:
    """An accepted delivery has its effect: the plugin took the work on."""
    await sandbox.configure("slow-builder", script=["accept"])
    assert (await execute(http, "slow-builder")).status_code == 202
    (delivery,) = await sandbox.deliveries()
    assert delivery.effect is not None


@pytest.mark.parametrize(
    ("word", "error", "effects"),
    [
        ("drop", httpx.RemoteProtocolError, 1),
        ("reset", httpx.ReadError, 0),
        ("truncate", httpx.RemoteProtocolError, 0),
    ],
)
async def test_connections_break(
    sandbox: SandboxClient,
    http: httpx.AsyncClient,
    word: str,
    error: type[httpx.TransportError],
    effects: int,
) -> None:
    """The caller gets no whole answer, and only `drop` leaves an effect behind."""
    await sandbox.configure("cut", script=[word])
    with pytest.raises(error):
        await execute(http, "cut")
    (delivery,) = await sandbox.deliveries()
    assert delivery.outcome == word
    assert (delivery.effect is not None) == bool(effects)


async def test_truncate_sends_half_a_document(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """The half that arrives starts like a success, so that only its length gives it away."""
    await sandbox.configure("cut", script=["truncate"])
    half = b""
    async with http.stream("POST", **request("cut")) as answer:
        assert answer.status_code == 200
        with contextlib.suppress(httpx.RemoteProtocolError):  # the break is tested above
            async for chunk in answer.aiter_raw():
                half += chunk
    assert half.startswith(b'{"status": "SUCCESS"')
    assert len(half) == int(answer.headers["content-length"]) // 2


async def test_garbage_is_200_but_not_json(sandbox: SandboxClient, http: httpx.AsyncClient) -> None:
    """The status and the content type promise JSON, the body is not."""
    await sandbox.configure("proxy", script=["garbage"])
    answer = await execute(http, "proxy")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


async def test_hang_never_answers(sandbox: SandboxClient, http: httpx.AsyncClient) -> None:
    """The delivery stays open until the caller leaves, and has no effect."""
    await sandbox.configure("stuck", script=["hang"])
    with pytest.raises(httpx.ReadTimeout):
        await http.post(**request("stuck"), timeout=0.2)
    (delivery,) = await until_arrived(sandbox, ended=True)
    assert (delivery.outcome, delivery.effect) == ("hang", None)


async def test_slow_drips_and_then_succeeds(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Bytes keep coming, so that a timeout per read never ends it; the document comes last."""
    await sandbox.configure("dripping", script=["slow:1.3"])
    arrivals = []
    started = time.monotonic()
    async with http.stream("POST", **request("dripping")) as answer:
        content = b""
        async for chunk in answer.aiter_raw():
            arrivals.append(time.monotonic() - started)
            content += chunk
    assert arrivals[0] < 0.5
    assert 1.2 < arrivals[-1] < 3
    assert len(arrivals) >= 3
    assert json.loads(content)["status"] == "SUCCESS"


async def test_latency_delays_every_outcome(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Latency lies between the arrival in the log and the end in the log."""
    await sandbox.configure("late", latency=0.2, script=["ok", "503"])
    key = new_key()
    await execute(http, "late", key)
    await execute(http, "late")
    for delivery in await sandbox.deliveries():
        assert delivery.ended_at is not None
        assert 0.2 <= (delivery.ended_at - delivery.started_at).total_seconds() < 1


async def test_the_script_follows_the_deliveries_of_a_key(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Every key walks the script from its start, and the last outcome repeats."""
    await sandbox.configure("flaky", script=["503", "fail:BUSY", "reject:GONE"])
    for key in (new_key(), new_key()):
        answers = [await execute(http, "flaky", key) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [503, 200, 200, 200]
        codes = [answer.json()["error_code"] for answer in answers[1:]]
        assert codes == ["BUSY", "GONE", "GONE"]


@pytest.mark.parametrize("field", list(body()))
async def test_a_missing_field_is_refused(
    sandbox: SandboxClient, http: httpx.AsyncClient, field: str
) -> None:
    """A body without one of the fields is a 400 that names it, and no delivery."""
    call = request("any")
    del call["json"][field]
    answer = await http.post(**call)
    assert (answer.status_code, code_of(answer)) == (400, "INVALID_EXECUTION")
    assert [error["path"] for error in answer.json()["errors"]] == [field]
    assert await sandbox.deliveries() == []


async def test_what_a_delivery_asked_for_can_be_read_back(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Nonce and what it compensates may be left out; parameters and deadline are as sent."""
    await execute(http, "any", nonce="n-1", compensates="run/a", params={"rows": [1, None]})
    await execute(http, "any", compensates=None, deadline="2026-11-23T03:00:00+01:00")
    first, second = await sandbox.deliveries()
    assert (first.nonce, first.compensates, first.params) == ("n-1", "run/a", {"rows": [1, None]})
    assert (second.nonce, second.compensates, second.params) == (None, None, {"scope": "all"})
    assert [str(d.deadline) for d in (first, second)] == [
        "2026-11-23 02:10:00+00:00",
        "2026-11-23 03:00:00+01:00",
    ]


@pytest.mark.parametrize("header", ["Idempotency-Key", "traceparent"])
async def test_a_missing_header_is_refused(
    sandbox: SandboxClient, http: httpx.AsyncClient, header: str
) -> None:
    """A call without one of the headers is a 400, and no delivery."""
    call = request("any")
    del call["headers"][header]
    answer = await http.post(**call)
    assert (answer.status_code, code_of(answer)) == (400, "MISSING_HEADER")
    call["headers"][header] = "not \N{LATIN SMALL LETTER U WITH DIAERESIS}".encode()
    answer = await http.post(**call)
    assert (answer.status_code, code_of(answer)) == (400, "INVALID_HEADER")
    assert await sandbox.deliveries() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_execution_is_refused(
    http: httpx.AsyncClient, content: bytes
) -> None:
    """What cannot be read is a 400, never a 500."""
    call = request("any")
    answer = await http.post(call["url"], content=content, headers=call["headers"])
    assert (answer.status_code, code_of(answer)) == (400, "INVALID_EXECUTION")


@pytest.mark.parametrize("plugin_id", ["%2e%2e", "A", "a%0ab", "x" * 65])
async def test_a_bad_plugin_id_is_not_found(http: httpx.AsyncClient, plugin_id: str) -> None:
    """Only ids of the contract are plugins."""
    answer = await execute(http, plugin_id)
    assert (answer.status_code, code_of(answer)) == (404, "NO_SUCH_PLUGIN")
