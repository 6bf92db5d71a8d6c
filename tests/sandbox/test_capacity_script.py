"""What a caller of the capacity service sees when it is told to fail, or is asked wrongly."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.client import SandboxClient, SandboxError
from tests.sandbox.harness import GRANTED, capacity_call, code_of, reserve, running
from tests.starter.harness import eventually_async


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("garbage", "<html>"),
        ("nan", '"granted": true, "reason": null, "retry_after": NaN'),
        ("negative", '"granted": true, "reason": null, "retry_after": -5'),
        ("error", '{"error": '),
    ],
)
async def test_a_200_that_makes_no_sense_reserves_nothing(
    sandbox: SandboxClient, http: httpx.AsyncClient, word: str, said: str
) -> None:
    """The status promises an answer, the body is none, and nothing is held."""
    await sandbox.configure_capacity(script=[word])
    answer = await http.post(**capacity_call("a", resources={"gpu": 1}))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert said in answer.text
    found = await sandbox.capacity()
    assert (found.reserved, found.requests) == ({}, 1)


@pytest.mark.parametrize(
    ("word", "error", "held"),
    [
        ("drop", httpx.RemoteProtocolError, ["a"]),
        ("truncate", httpx.RemoteProtocolError, []),
        ("hang", httpx.ReadTimeout, []),
        ("reset", httpx.ReadError, []),
    ],
)
async def test_an_answer_may_get_lost(
    sandbox: SandboxClient,
    http: httpx.AsyncClient,
    word: str,
    error: type[httpx.TransportError],
    held: list[str],
) -> None:
    """The caller knows nothing, and only after `drop` is something held; asking again has it."""
    await sandbox.configure_capacity(limits={"gpu": 1}, script=[word, "ok"])
    with pytest.raises(error):
        await http.post(**capacity_call("a", resources={"gpu": 1}), timeout=0.3)
    assert list((await sandbox.capacity()).reserved) == held
    assert await reserve(http, "a", gpu=1) == GRANTED
    assert (await sandbox.capacity()).in_use == {"gpu": 1}


@pytest.mark.parametrize(("word", "wait"), [("503", None), ("429:2", "2")])
async def test_a_status_is_a_problem(
    sandbox: SandboxClient, http: httpx.AsyncClient, word: str, wait: str | None
) -> None:
    """A status of the script is problem+json, with Retry-After when the word names seconds."""
    await sandbox.configure_capacity(script=[word])
    answer = await http.post(**capacity_call("a", "release"))
    assert (answer.status_code, code_of(answer)) == (int(word[:3]), f"SCRIPTED_{word[:3]}")
    assert answer.headers.get("retry-after") == wait


async def test_a_request_that_waits_is_cut_at_the_end(tmp_path: Path) -> None:
    """Neither latency nor a word that hangs holds up the end of the process."""
    with running(tmp_path / "log.jsonl") as sandbox:
        async with sandbox.clients() as (control, http):
            await control.configure_capacity(script=["hang"])
            hanging = asyncio.create_task(http.post(**capacity_call("a")))

            async def it_came() -> bool:
                return (await control.capacity()).requests == 1

            await eventually_async(it_came)
            await control.configure_capacity(latency=60)
            late = asyncio.create_task(http.post(**capacity_call("b")))
            await asyncio.sleep(0.5)
            assert await it_came(), "what waits was not counted yet"
            assert await asyncio.to_thread(sandbox.stop) == (0, "")
            ends = await asyncio.gather(hanging, late, return_exceptions=True)
    assert all(isinstance(end, httpx.TransportError) for end in ends), ends
    assert [line["reservation_id"] for line in sandbox.lines()] == ["a"]


@pytest.mark.parametrize(
    "change",
    [
        {"action": "keep"},
        {"action": None},
        {"reservation_id": ""},
        {"resources": {"gpu": -1}},
        {"resources": {"gpu": 1.5}},
        {"resources": None},
        {"start": "2026-11-23T02:00:00"},
        {"duration": "90s"},
        {"duration": -1},
    ],
    ids=str,
)
async def test_a_request_that_is_not_the_contract_is_refused(
    sandbox: SandboxClient, http: httpx.AsyncClient, change: dict[str, object]
) -> None:
    """What the contract does not say is a 400 that names the field, and no request."""
    request = capacity_call("a", resources={"gpu": 1})
    request["json"] |= change
    answer = await http.post(**request)
    assert (answer.status_code, code_of(answer)) == (400, "INVALID_RESERVATION")
    assert answer.json()["errors"]
    assert (await sandbox.capacity()).requests == 0


@pytest.mark.parametrize("header", ["Idempotency-Key", "traceparent"])
async def test_a_missing_header_is_refused(http: httpx.AsyncClient, header: str) -> None:
    """A call without one of the headers is a 400."""
    request = capacity_call("a")
    del request["headers"][header]
    answer = await http.post(**request)
    assert (answer.status_code, code_of(answer)) == (400, "MISSING_HEADER")


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        ({"script": ["mabye"]}, "'mabye' is no answer"),
        ({"script": ["deny:"]}, "needs seconds"),
        ({"script": ["deny:-1"]}, "needs seconds"),
        ({"script": ["200"]}, "is no answer"),
        ({"script": ["503:1.5"]}, "whole seconds"),
        ({"script": []}, "at least 1 item"),
        ({"limits": {"gpu": -1}}, "greater than or equal to 0"),
        ({"latency": -1}, "greater than or equal to 0"),
    ],
    ids=str,
)
async def test_knobs_that_make_no_sense_are_refused(
    sandbox: SandboxClient, knobs: dict[str, Any], reason: str
) -> None:
    """A typo fails the test that made it, in words."""
    with pytest.raises(SandboxError, match=reason):
        await sandbox.configure_capacity(**knobs)
