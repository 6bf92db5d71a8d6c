"""Cancelling an execution: what is open ends at once, and a cancelled key never has an effect."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from sandbox.client import SandboxClient
from tests.sandbox.harness import (
    TRACEPARENT,
    cancel,
    code_of,
    execute,
    new_key,
    request,
    running,
    until_arrived,
)

CANCELLED = {
    "status": "FAILED",
    "result": None,
    "error_code": "CANCELLED",
    "message": "the execution was cancelled",
    "retryable": False,
}


@pytest.mark.parametrize(
    ("script", "latency"), [(["ok"], 60.0), (["reset"], 60.0), (["slow:60"], 0.0), (["hang"], 0.0)]
)
async def test_what_is_open_ends_at_once_without_effect(
    sandbox: SandboxClient, http: httpx.AsyncClient, script: list[str], latency: float
) -> None:
    """However a delivery keeps its caller waiting, it answers CANCELLED, and so do later ones."""
    key, other = new_key(), new_key()
    await sandbox.configure("builder", script=script, latency=latency)
    calls = [asyncio.create_task(execute(http, "builder", key)) for _ in range(3)]
    bystander = asyncio.create_task(execute(http, "builder", other))
    await until_arrived(sandbox, 4)
    started = time.monotonic()
    answer = await cancel(http, "builder", key)
    assert (answer.status_code, answer.json()) == (202, {})
    ended = await asyncio.gather(*calls)
    assert time.monotonic() - started < 2
    late = await execute(http, "builder", key, attempt=2)
    assert [(end.status_code, end.json()) for end in [*ended, late]] == [(200, CANCELLED)] * 4
    deliveries = await sandbox.deliveries(key=key)
    assert {(d.outcome, d.effect, d.cancelled) for d in deliveries} == {("cancelled", None, True)}
    (untouched,) = await sandbox.deliveries(key=other)
    assert (untouched.ended_at, untouched.cancelled) == (None, False)
    await cancel(http, "builder", other)
    await bystander


@pytest.mark.parametrize("form", [str, lambda key: quote(key, safe="")], ids=["plain", "encoded"])
async def test_a_run_id_may_be_written_both_ways(
    sandbox: SandboxClient, http: httpx.AsyncClient, form: Callable[[str], str]
) -> None:
    """Slashes and colons of a run id come as they are or percent-encoded."""
    key = f"{new_key()}-2026-11-23T02:00:00Z/compensation"
    await sandbox.configure("builder", script=["503"])
    await execute(http, "builder", key)
    assert (await cancel(http, "builder", key, path=form(key))).status_code == 202
    (seen,) = await sandbox.cancellations()
    assert (seen.key, seen.plugin_id, seen.answered) == (key, "builder", 202)


@pytest.mark.parametrize("word", ["503", "reset", "truncate", "garbage", "hang"])
async def test_work_without_a_word_from_the_plugin_can_be_cancelled(
    sandbox: SandboxClient, http: httpx.AsyncClient, word: str
) -> None:
    """Its caller cannot know whether it goes on; asked once more, it is still cancelled."""
    key = new_key()
    await sandbox.configure("builder", script=[word, "ok"])
    call = request("builder", key)
    await asyncio.gather(http.post(**call, timeout=0.3), return_exceptions=True)
    for _ in range(2):
        assert (await cancel(http, "builder", key)).status_code == 202
    assert (await execute(http, "builder", key, attempt=2)).json() == CANCELLED
    assert [d.effect for d in await sandbox.deliveries(key=key)] == [None, None]


@pytest.mark.parametrize("word", ["ok", "accept", "slow:0.01", "fail:BUSY", "reject:GONE"])
async def test_finished_work_is_left_alone(
    sandbox: SandboxClient, http: httpx.AsyncClient, word: str
) -> None:
    """What had its effect, or failed by the plugin's own word, is a 409; answers stay the same."""
    key = new_key()
    await sandbox.configure("builder", script=[word])
    first = await execute(http, "builder", key)
    answer = await cancel(http, "builder", key)
    assert (answer.status_code, code_of(answer)) == (409, "ALREADY_FINISHED")
    again = await execute(http, "builder", key)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert [d.cancelled for d in await sandbox.deliveries(key=key)] == [False, False]


async def test_a_failure_does_not_hide_a_delivery_that_is_open(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """The work of a key goes on as long as one of its deliveries does."""
    key = new_key()
    await sandbox.configure("builder", script=["hang", "fail:BUSY"])
    call = asyncio.create_task(execute(http, "builder", key))
    await until_arrived(sandbox)
    await execute(http, "builder", key)
    assert (await cancel(http, "builder", key)).status_code == 202
    assert (await call).json() == CANCELLED


async def test_an_unknown_execution_is_not_found(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """A key that the plugin never got is a 404, also when another plugin knows it."""
    key = new_key()
    await sandbox.configure("builder", script=["503"])
    await execute(http, "builder", key)
    for plugin_id, asked in [("builder", new_key()), ("other", key)]:
        answer = await cancel(http, plugin_id, asked)
        assert (answer.status_code, code_of(answer)) == (404, "NO_SUCH_EXECUTION")
    assert [c.answered for c in await sandbox.cancellations()] == [404, 404]
    assert (await sandbox.deliveries(key=key))[0].cancelled is False


async def test_a_plugin_that_cannot_cancel_says_so_always(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """With the knob on `unsupported` it is a 404, and the work goes on to its effect."""
    key = new_key()
    await sandbox.configure("builder", latency=0.3, cancel="unsupported")
    call = asyncio.create_task(execute(http, "builder", key))
    await until_arrived(sandbox)
    for _ in range(2):
        answer = await cancel(http, "builder", key)
        assert (answer.status_code, code_of(answer)) == (404, "CANCEL_UNSUPPORTED")
        assert (await call).json()["status"] == "SUCCESS"


async def test_a_cancellation_races_with_an_effect_and_one_wins(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Whenever it comes, a 202 means no effect for ever, and a 409 an effect."""
    await sandbox.configure("builder", latency=0.05)

    async def race(wait: float) -> tuple[int, str, bool]:
        key = new_key()
        call = asyncio.create_task(execute(http, "builder", key))
        await asyncio.sleep(wait)
        answer = await cancel(http, "builder", key)
        if answer.status_code == 404:  # it came before the call did
            await call
            return 409, "SUCCESS", True
        status = (await call).json()["status"]
        await execute(http, "builder", key)
        effects = [d.effect for d in await sandbox.deliveries(key=key)]
        assert len(set(effects)) == 1
        return answer.status_code, status, effects[0] is not None

    ends = set(await asyncio.gather(*(race(0.03 + n * 0.001) for n in range(40))))
    assert ends <= {(202, "FAILED", False), (409, "SUCCESS", True)}


async def test_cancelled_is_cancelled_after_kill_9(tmp_path: Path) -> None:
    """The log knows every cancellation; what was open at the kill can still be cancelled."""
    log, done, pending = tmp_path / "log.jsonl", new_key(), new_key()
    with running(log) as first:
        async with first.clients() as (control, http):
            await control.configure("builder", script=["hang"])
            calls = [asyncio.create_task(execute(http, "builder", key)) for key in (done, pending)]
            await until_arrived(control, 2)
            await cancel(http, "builder", done)
            await calls[0]
            before = await control.cancellations()
            first.kill()
            await asyncio.gather(*calls, return_exceptions=True)
    assert [line["event"] for line in first.lines()] == ["start", "start", "cancel", "end"]
    assert first.lines()[2] == {
        "event": "cancel",
        "key": done,
        "plugin_id": "builder",
        "traceparent": TRACEPARENT,
        "at": first.lines()[2]["at"],
        "answered": 202,
    }
    with running(log) as second:
        async with second.clients() as (control, http):
            assert await control.cancellations() == before
            assert (await execute(http, "builder", done)).json() == CANCELLED
            assert (await cancel(http, "builder", pending)).status_code == 202
            assert (await execute(http, "builder", pending)).json() == CANCELLED


async def test_reset_forgets_cancellations(sandbox: SandboxClient, http: httpx.AsyncClient) -> None:
    """After a reset the key is new: it has its effect, and what was open before is on its own."""
    key = new_key()
    await sandbox.configure("builder", latency=0.4)
    old = asyncio.create_task(execute(http, "builder", key))
    await until_arrived(sandbox)
    await sandbox.reset()
    await sandbox.configure("builder", script=["503", "ok"])
    await execute(http, "builder", key)
    await cancel(http, "builder", key)
    assert (await old).json()["status"] == "SUCCESS"
    await sandbox.reset()
    assert await sandbox.cancellations() == []
    assert (await execute(http, "builder", key)).json()["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("traceparent", None, "MISSING_HEADER"),
        ("Idempotency-Key", None, "MISSING_HEADER"),
        ("Idempotency-Key", "another", "INVALID_HEADER"),
    ],
)
async def test_a_call_without_its_headers_is_refused(
    sandbox: SandboxClient, http: httpx.AsyncClient, header: str, value: str | None, code: str
) -> None:
    """Both headers are needed, and the key is the run id; what is refused is not kept."""
    headers = {"Idempotency-Key": "run/a", "traceparent": TRACEPARENT} | {header: value or ""}
    if value is None:
        del headers[header]
    answer = await http.delete("/plugin/runtime/builder/executions/run/a", headers=headers)
    assert (answer.status_code, code_of(answer)) == (400, code)
    assert await sandbox.cancellations() == []
