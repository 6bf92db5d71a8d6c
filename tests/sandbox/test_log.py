"""The log tells what happened, and the sandbox remembers it after any end."""

import asyncio
import json
import re
import resource
from pathlib import Path

import httpx
import pytest

from sandbox.client import SandboxClient
from tests.sandbox.harness import (
    TRACEPARENT,
    Sandbox,
    code_of,
    execute,
    new_key,
    request,
    run,
    running,
    until_arrived,
)


async def test_the_log_has_a_line_for_each_end_of_a_delivery(
    shared_sandbox: Sandbox, sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Start and end carry who, what, when and the effect, on disk before the answer is here."""
    key = new_key()
    await sandbox.configure("builder", latency=0.01)
    beside = {"nonce": "n-1", "compensates": "run/a", "params": {"scope": ["all", 1.5, None]}}
    await execute(http, "builder", key, attempt=2, fence=3, **beside)
    start, end = [line for line in shared_sandbox.lines() if line.get("key") == key]
    common = {
        "key": key,
        "delivery": 1,
        "attempt": 2,
        "fence": 3,
        "plugin_id": "builder",
        "tenant_id": "acme",
        "task_id": "daily-report",
        "run_id": "run/acme/daily-report/2026-11-23T02:00:00Z",
        "traceparent": TRACEPARENT,
    }
    started, ended = start.pop("at"), end.pop("at")
    (delivery,) = await sandbox.deliveries(key=key)
    asked = beside | {"deadline": "2026-11-23T02:10:00+00:00"}
    assert start == {"event": "start", **common, "outcome": None, "effect": None, "asked": asked}
    assert end == {"event": "end", **common, "outcome": "ok", "effect": delivery.effect}
    assert delivery.effect is not None
    assert started < ended, "times sort as text: all have six digits and end in Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", started)


async def test_effects_are_still_one_after_kill_9(tmp_path: Path) -> None:
    """A killed sandbox knows every effect, fence and delivery again, from the log alone."""
    log = tmp_path / "log.jsonl"
    done, pending = new_key(), new_key()
    with running(log) as sandbox:
        async with sandbox.clients() as (control, http):
            await control.configure("builder", result={"rows": 3})
            first = await execute(http, "builder", done, fence=5)
            await control.configure("stuck", script=["hang"])
            with pytest.raises(httpx.ReadTimeout):
                await http.post(**request("stuck", pending), timeout=0.2)
            before = await control.deliveries()
        sandbox.kill()
    with running(log) as sandbox:
        async with sandbox.clients() as (control, http):
            assert [delivery.key for delivery in await control.deliveries()] == [done, pending]
            assert (await control.deliveries(key=done))[0] == before[0]
            assert (await execute(http, "builder", done, fence=4)).status_code == 409
            assert (await execute(http, "builder", done, fence=5)).json() == first.json()
            await execute(http, "stuck", pending)
            effects = [delivery.effect for delivery in await control.deliveries()]
    assert effects == [1, None, None, 1, 2]


async def test_lines_of_old_are_still_read(tmp_path: Path) -> None:
    """A log whose deliveries say nothing of nonce and parameters is a log all the same."""
    log, key = tmp_path / "log.jsonl", new_key()
    with running(log) as sandbox:
        async with sandbox.clients() as (_, http):
            await execute(http, "builder", key, nonce="n-1")
        sandbox.kill()
    lines = sandbox.lines()
    del lines[0]["asked"]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with running(log) as sandbox:
        async with sandbox.clients() as (control, http):
            (old,) = await control.deliveries()
            await execute(http, "builder", key, nonce="n-2")
            new = (await control.deliveries())[1]
    assert (old.nonce, old.compensates, old.params, old.deadline) == (None, None, {}, None)
    assert (new.nonce, new.params, new.effect) == ("n-2", {"scope": "all"}, old.effect)


async def test_a_kill_under_load_loses_no_answered_effect(tmp_path: Path) -> None:
    """Every success that a caller saw is in the log when the sandbox is killed in full flight."""
    log = tmp_path / "log.jsonl"
    answered: set[str] = set()
    with running(log) as sandbox:
        async with sandbox.clients() as (_, http):

            async def call_for_ever() -> None:
                while True:
                    key = new_key()
                    answer = await execute(http, "builder", key)
                    assert answer.json()["status"] == "SUCCESS"
                    answered.add(key)

            callers = [asyncio.create_task(call_for_ever()) for _ in range(16)]
            async with sandbox.clients() as (control, _):
                await until_arrived(control, 100, ended=True)
            sandbox.kill()
            ends = await asyncio.gather(*callers, return_exceptions=True)
    assert all(isinstance(end, httpx.TransportError) for end in ends), ends
    with running(log) as sandbox:
        async with sandbox.clients() as (control, _):
            effects = {d.key: d.effect for d in await control.deliveries() if d.effect is not None}
    assert answered
    assert answered <= effects.keys()
    assert len(set(effects.values())) == len(effects)


async def test_a_torn_last_line_is_cut_off(
    shared_sandbox: Sandbox, sandbox: SandboxClient, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Half a line, as a kill leaves it, is dropped, and a reset before it holds.

    What the reset forgot is new again, but its effect numbers stay used; what came after the
    reset is known; the lines written from then on are whole.
    """
    forgotten, known = new_key(), new_key()
    await execute(http, "builder", forgotten, fence=8)
    await sandbox.reset()
    await execute(http, "builder", known)
    (before,) = await sandbox.deliveries()
    log = tmp_path / "log.jsonl"
    log.write_bytes(shared_sandbox.log.read_bytes() + b'{"event": "start", "key": "run/')
    with running(log) as restarted:
        async with restarted.clients() as (_, again):
            await execute(again, "builder", known)
            await execute(again, "builder", forgotten, fence=1)
        lines = restarted.lines()
    assert before.effect is not None
    assert [(line["key"], line["delivery"], line["effect"]) for line in lines[-4:]] == [
        (known, 2, None),
        (known, 2, before.effect),
        (forgotten, 1, None),
        (forgotten, 1, before.effect + 1),
    ]


async def test_no_success_without_a_log(tmp_path: Path) -> None:
    """When the disk takes no more, an effect cannot be proved: from then on all are refused."""
    with running(tmp_path / "log.jsonl") as sandbox:
        async with sandbox.clients() as (_, http):
            await execute(http, "builder")
            size = sandbox.log.stat().st_size + 10
            resource.prlimit(sandbox.process.pid, resource.RLIMIT_FSIZE, (size, size))
            for _ in range(3):
                answer = await execute(http, "builder")
                assert (answer.status_code, code_of(answer)) == (500, "LOG_FAILED")
        code, errors = sandbox.stop()
    assert code == 0
    assert errors == f"sandbox: cannot write the log: {sandbox.log}: File too large\n"


def test_a_log_that_is_none_is_refused(tmp_path: Path) -> None:
    """A file with other lines is left alone: one line on stderr that names the line."""
    log = tmp_path / "log.jsonl"
    log.write_text('{"event": "start"}\n')
    ended = run(log, "--port", "0")
    assert ended.returncode == 1
    assert "line 1: " in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert log.read_text() == '{"event": "start"}\n'


def test_two_sandboxes_never_share_a_log(shared_sandbox: Sandbox) -> None:
    """Two writers would each give out the same effect numbers."""
    ended = run(shared_sandbox.log, "--port", "0")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith("another sandbox writes this log\n")
    assert ended.stderr.count("\n") == 1
