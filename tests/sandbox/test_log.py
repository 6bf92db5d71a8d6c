"""The log tells what happened, and the sandbox remembers it after any end."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from sandbox.client import SandboxClient
from tests.sandbox.harness import (
    TRACEPARENT,
    execute,
    new_key,
    request,
    run,
    running,
    until_arrived,
)


async def test_the_log_has_a_line_for_each_end_of_a_delivery(tmp_path: Path) -> None:
    """Start and end carry who, what, when and the effect; an answered effect is on disk."""
    with running(tmp_path / "log.jsonl") as sandbox:
        async with httpx.AsyncClient(base_url=sandbox.url) as http:
            await execute(http, "builder", "key-1", attempt=2, fence=3)
            start, end = sandbox.lines()
    common = {
        "key": "key-1",
        "delivery": 1,
        "attempt": 2,
        "fence": 3,
        "plugin_id": "builder",
        "tenant_id": "acme",
        "task_id": "daily-report",
        "run_id": "run/acme/daily-report/2026-11-23T02:00:00Z",
        "traceparent": TRACEPARENT,
    }
    started, ended = (datetime.fromisoformat(line.pop("at")) for line in (start, end))
    assert start == {"event": "start", **common, "outcome": None, "effect": None}
    assert end == {"event": "end", **common, "outcome": "ok", "effect": 1}
    assert started <= ended
    assert ended.utcoffset() == timedelta(0)


async def test_the_times_of_the_log_have_microseconds(tmp_path: Path) -> None:
    """Times are RFC 3339 in UTC with six digits, so that they sort as text."""
    with running(tmp_path / "log.jsonl") as sandbox:
        async with httpx.AsyncClient(base_url=sandbox.url) as http:
            await execute(http, "builder")
        for line in sandbox.lines():
            assert len(line["at"]) == len("2026-11-23T02:00:00.000000Z")
            assert line["at"].endswith("Z")


async def test_effects_are_still_one_after_kill_9(tmp_path: Path) -> None:
    """A killed sandbox knows every effect, fence and delivery again, from the log alone."""
    log = tmp_path / "log.jsonl"
    done, pending = new_key(), new_key()
    with running(log) as sandbox:
        async with (
            SandboxClient(sandbox.url) as control,
            httpx.AsyncClient(base_url=sandbox.url) as http,
        ):
            await control.configure("builder", result={"rows": 3})
            first = await execute(http, "builder", done, fence=5)
            await control.configure("stuck", script=["hang"])
            with pytest.raises(httpx.ReadTimeout):
                await http.post(**request("stuck", pending), timeout=0.2)
            before = await control.deliveries()
        sandbox.kill()
    with running(log) as sandbox:
        async with (
            SandboxClient(sandbox.url) as control,
            httpx.AsyncClient(base_url=sandbox.url) as http,
        ):
            assert [delivery.key for delivery in await control.deliveries()] == [done, pending]
            assert (await control.deliveries(key=done))[0] == before[0]
            assert (await execute(http, "builder", done, fence=4)).status_code == 409
            assert (await execute(http, "builder", done, fence=5)).json() == first.json()
            await execute(http, "stuck", pending)
            effects = [delivery.effect for delivery in await control.deliveries()]
    assert effects == [1, None, None, 1, 2]


async def test_a_kill_under_load_loses_no_answered_effect(tmp_path: Path) -> None:
    """Every success that a caller saw is in the log when the sandbox is killed in full flight."""
    log = tmp_path / "log.jsonl"
    answered: set[str] = set()
    with running(log) as sandbox:
        async with httpx.AsyncClient(base_url=sandbox.url) as http:

            async def call_for_ever() -> None:
                while True:
                    key = new_key()
                    answer = await execute(http, "builder", key)
                    assert answer.json()["status"] == "SUCCESS"
                    answered.add(key)

            callers = [asyncio.create_task(call_for_ever()) for _ in range(16)]
            async with SandboxClient(sandbox.url) as control:
                await until_arrived(control, 200, ended=True)
            sandbox.kill()
            ends = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(end, httpx.TransportError) for end in ends), ends
    with running(log) as sandbox:
        async with SandboxClient(sandbox.url) as control:
            effects = {d.key: d.effect for d in await control.deliveries() if d.effect is not None}
    assert answered <= effects.keys()
    assert len(set(effects.values())) == len(effects)


async def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    """Half a line, as a kill leaves it, is dropped; the lines after it are whole."""
    log = tmp_path / "log.jsonl"
    with running(log) as sandbox:
        async with httpx.AsyncClient(base_url=sandbox.url) as http:
            await execute(http, "builder", "key-1")
        sandbox.kill()
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:100])
    with running(log) as sandbox:
        async with httpx.AsyncClient(base_url=sandbox.url) as http:
            await execute(http, "builder", "key-1")
        lines = sandbox.lines()
    assert [(line["event"], line["delivery"], line["effect"]) for line in lines] == [
        ("start", 1, None),
        ("end", 1, 1),
        ("start", 2, None),
        ("end", 2, 1),
    ]


async def test_a_reset_holds_after_a_restart(tmp_path: Path) -> None:
    """What a reset forgot stays forgotten, but its effect numbers stay used."""
    log = tmp_path / "log.jsonl"
    with running(log) as sandbox:
        async with (
            SandboxClient(sandbox.url) as control,
            httpx.AsyncClient(base_url=sandbox.url) as http,
        ):
            await execute(http, "builder", "key-1", fence=8)
            await control.reset()
        sandbox.kill()
    assert [line["event"] for line in sandbox.lines()] == ["start", "end", "reset"]
    with running(log) as sandbox:
        async with (
            SandboxClient(sandbox.url) as control,
            httpx.AsyncClient(base_url=sandbox.url) as http,
        ):
            await execute(http, "builder", "key-1", fence=1)
            assert [delivery.effect for delivery in await control.deliveries()] == [2]


def test_a_log_that_is_none_is_refused(tmp_path: Path) -> None:
    """A file with other lines is left alone: one line on stderr that names the line."""
    log = tmp_path / "log.jsonl"
    log.write_text('{"event": "start"}\n')
    ended = run(log, "--port", "0")
    assert ended.returncode == 1
    assert "line 1: " in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert log.read_text() == '{"event": "start"}\n'


def test_two_sandboxes_never_share_a_log(tmp_path: Path) -> None:
    """Two writers would each give out the same effect numbers."""
    log = tmp_path / "log.jsonl"
    with running(log):
        ended = run(log, "--port", "0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith("another sandbox writes this log\n")
    assert ended.stderr.count("\n") == 1
