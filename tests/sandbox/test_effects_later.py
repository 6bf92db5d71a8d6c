"""Work that is accepted, and done only when the test says so."""

import asyncio
from pathlib import Path

import httpx
import pytest

from sandbox.client import SandboxClient, SandboxError
from tests.sandbox.harness import cancel, execute, new_key, running


async def test_accepted_work_has_its_effect_when_it_is_told(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Before there is none, however often it is accepted; told twice there is still one."""
    key = new_key()
    await sandbox.configure("builder", script=["accept-later"])
    for _ in range(2):
        assert (await execute(http, "builder", key)).status_code == 202
    assert [d.effect for d in await sandbox.deliveries(key=key)] == [None, None]
    await asyncio.gather(*(sandbox.effect(key) for _ in range(5)))
    assert (await execute(http, "builder", key)).status_code == 202
    deliveries = await sandbox.deliveries(key=key)
    assert {d.outcome for d in deliveries} == {"accept-later"}
    (effect,) = {d.effect for d in deliveries}
    assert effect is not None


async def test_an_effect_that_was_told_is_answered_from_then_on(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """A later delivery gets the success and the result of the time of the effect, not another."""
    key, other = new_key(), new_key()
    await sandbox.configure("builder", script=["accept-later", "reject:LATER"], result="first")
    await execute(http, "builder", key)
    await sandbox.effect(key)
    await sandbox.configure("builder", script=["fail:LATER"], result="second")
    again = await execute(http, "builder", key, attempt=2)
    assert (again.json()["status"], again.json()["result"]) == ("SUCCESS", "first")
    await sandbox.configure("builder")
    await execute(http, "builder", other)
    first, second, another = await sandbox.deliveries()
    assert first.effect == second.effect
    assert another.effect not in {None, first.effect}


async def test_accepted_work_that_is_cancelled_has_no_effect(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Whichever comes first wins: cancelled work is never done, done work is not cancelled."""
    cancelled, done = new_key(), new_key()
    await sandbox.configure("builder", script=["accept-later"])
    for key in (cancelled, done):
        await execute(http, "builder", key)
    assert (await cancel(http, "builder", cancelled)).status_code == 202
    with pytest.raises(SandboxError, match=r": 409 .*was cancelled"):
        await sandbox.effect(cancelled)
    await sandbox.effect(done)
    assert (await cancel(http, "builder", done)).status_code == 409
    assert [(d.cancelled, d.effect is None) for d in await sandbox.deliveries()] == [
        (True, True),
        (False, False),
    ]


async def test_a_key_that_never_came_has_no_effect(sandbox: SandboxClient) -> None:
    """A mistake of the test is told to it."""
    with pytest.raises(SandboxError, match=": 404 "):
        await sandbox.effect(new_key())


async def test_effects_of_later_are_known_after_kill_9(tmp_path: Path) -> None:
    """The log has a line for each; a restart knows it, and what is accepted but not done."""
    log, done, pending = tmp_path / "log.jsonl", new_key(), new_key()
    with running(log) as first:
        async with first.clients() as (control, http):
            await control.configure("builder", script=["accept-later"], result={"rows": 3})
            for key in (done, pending):
                await execute(http, "builder", key)
            await control.effect(done)
            before = await control.deliveries()
        first.kill()
    last = first.lines()[-1]
    assert last == {
        "event": "effect",
        "key": done,
        "at": last["at"],
        "effect": 1,
        "result": {"rows": 3},
    }
    with running(log) as second:
        async with second.clients() as (control, http):
            assert await control.deliveries() == before
            assert (await execute(http, "builder", done)).json()["result"] == {"rows": 3}
            await control.effect(done)
            await control.effect(pending)
            effects = {d.key: d.effect for d in await control.deliveries()}
    assert effects == {done: 1, pending: 2}
