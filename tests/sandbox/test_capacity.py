"""The capacity service of the sandbox: limits, and reservations that count once."""

import asyncio
from pathlib import Path

import httpx

from sandbox.client import SandboxClient
from tests.sandbox.harness import (
    GRANTED,
    capacity_call,
    execute,
    new_key,
    release,
    reserve,
    running,
)


async def test_limits_hold_for_the_sum_of_what_is_held(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """The last that fits is granted, the next is told what is short; others have no end."""
    await sandbox.configure_capacity(limits={"gpu": 4})
    assert await reserve(http, "a", gpu=3, disk=10**9) == GRANTED
    short = await reserve(http, "b", gpu=2)
    assert short == GRANTED | {"granted": False, "reason": "gpu: 2 asked, 3 of 4 in use"}
    assert await reserve(http, "c", gpu=1) == GRANTED
    found = await sandbox.capacity()
    assert list(found.reserved) == ["a", "c"]
    assert (found.in_use, found.requests) == ({"gpu": 4, "disk": 10**9}, 3)
    held = found.reserved["a"]
    assert (held.tenant_id, held.task_id, held.resources["gpu"]) == ("acme", "daily-report", 3)


async def test_a_reservation_counts_once(sandbox: SandboxClient, http: httpx.AsyncClient) -> None:
    """Whoever asks again, even at the same time and when nothing is left, has it already."""
    await sandbox.configure_capacity(limits={"gpu": 1}, latency=0.02)
    answers = await asyncio.gather(*(reserve(http, "a", gpu=1) for _ in range(50)))
    assert answers == [GRANTED] * 50
    assert (await sandbox.capacity()).in_use == {"gpu": 1}


async def test_a_race_for_the_last_one_has_one_winner(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """However many ask at once, what is granted never passes the limit."""
    await sandbox.configure_capacity(limits={"gpu": 3}, latency=0.02)
    answers = await asyncio.gather(*(reserve(http, f"r{n}", gpu=1) for n in range(50)))
    assert sum(answer["granted"] for answer in answers) == 3
    assert (await sandbox.capacity()).in_use == {"gpu": 3}


async def test_a_release_gives_back_and_makes_the_id_new(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """After a release others fit in; the same id is a new reservation, and may be denied."""
    await sandbox.configure_capacity(limits={"gpu": 1})
    assert await release(http, "never-reserved") == GRANTED
    await reserve(http, "a", gpu=1)
    for _ in range(2):
        assert await release(http, "a") == GRANTED
    assert await reserve(http, "b", gpu=1) == GRANTED
    assert (await reserve(http, "a", gpu=1))["granted"] is False
    await release(http, "b")
    assert await reserve(http, "a", gpu=1) == GRANTED
    assert list((await sandbox.capacity()).reserved) == ["a"]


async def test_the_script_follows_the_requests_of_an_id(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Every id walks the script from its start; the last word repeats, but what is held stays."""
    await sandbox.configure_capacity(script=["deny:5", "deny", "ok", "deny"])
    for name in ("a", "b"):
        answers = [await reserve(http, name, gpu=1) for _ in range(5)]
        assert [answer["granted"] for answer in answers] == [False, False, True, True, True]
        assert [answer["retry_after"] for answer in answers[:3]] == [5, None, None]
    assert await release(http, "a") == GRANTED, "nobody is kept from giving back"
    assert list((await sandbox.capacity()).reserved) == ["b"]


async def test_every_request_is_a_line_that_a_restart_reads(tmp_path: Path) -> None:
    """A killed sandbox holds what it held, counts what it counted, and goes on in the script."""
    log, key = tmp_path / "log.jsonl", new_key()
    with running(log) as first:
        async with first.clients() as (control, http):
            await control.configure_capacity(script=["503", "ok"])
            for name in ("forgotten", "a", "b"):
                assert (
                    await http.post(**capacity_call(name, resources={"gpu": 2}))
                ).status_code == 503
                await reserve(http, name, gpu=2)
                if name == "forgotten":
                    await control.reset()
                    await control.configure_capacity(script=["503", "ok"])
            await control.configure_capacity(limits={"gpu": 4})
            await release(http, "b")
            await reserve(http, "c", gpu=9)
            await execute(http, "builder", key)
            before = await control.capacity()
        first.kill()
    assert (list(before.reserved), before.in_use, before.requests) == (["a"], {"gpu": 2}, 6)
    lines = [line for line in first.lines() if line["event"] == "capacity"]
    assert [(line["outcome"], line["action"], line["granted"]) for line in lines[-4:]] == [
        ("503", "reserve", None),
        ("ok", "reserve", True),
        ("ok", "release", True),
        ("ok", "reserve", False),
    ]
    assert lines[-2] == {
        "event": "capacity",
        "action": "release",
        "reservation_id": "b",
        "tenant_id": "acme",
        "task_id": "daily-report",
        "resources": {"gpu": 2},
        "granted": True,
        "outcome": "ok",
        "at": lines[-2]["at"],
    }
    with running(log) as second:
        async with second.clients() as (control, http):
            assert await control.capacity() == before
            assert len(await control.deliveries(key=key)) == 1
            await control.configure_capacity(script=["503", "503", "deny"])
            assert await reserve(http, "a", gpu=2) == GRANTED


async def test_reset_forgets_reservations_and_knobs(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """After a reset nothing is held, nothing is counted and everything is granted."""
    await sandbox.configure_capacity(limits={"gpu": 1}, script=["ok", "deny"])
    await reserve(http, "a", gpu=1)
    await sandbox.reset()
    found = await sandbox.capacity()
    assert (found.reserved, found.in_use, found.requests) == ({}, {}, 0)
    assert await reserve(http, "b", gpu=100) == GRANTED
