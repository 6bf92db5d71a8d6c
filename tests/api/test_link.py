"""Temporal that is not there, goes away, comes back, or says nothing: 503 within the deadline."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from domain.executions import ExecutionReport
from domain.rules import RuleIndex, RuleSource
from starter.api import link
from starter.pulse import PULSE_SECONDS
from tests.api.harness import Door, door
from tests.api.test_problems import EVENTS, problem
from tests.conftest import task_of
from tests.proxy import Way, way_to
from tests.starter.harness import eventually_async

DEADLINE = 1.0
SLACK = 1.0  # of a machine that has much to do

REPORT = {
    "type": "task.execution.updated",
    "data": {
        "run_id": "run/home/none-2026-11-23T02:00:00Z",
        "attempt": 1,
        "nonce": "0" * 32,
        "sequence": 0,
        "status": "RUNNING",
    },
}
ExecutionReport.model_validate(REPORT["data"])
_RULE = RuleSource(
    task_of(tenant_id="home", task_id="far", triggers=[{"event": "order.created"}]),
    *(1.0, "api-link"),
    paused=False,
    limited=False,
)


@pytest.fixture
async def way(temporal: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Way]:
    """What leads to the session's server."""
    async with way_to(temporal.service_client.config.target_host) as opened:
        monkeypatch.setenv("TEMPORAL_ADDRESS", opened.address)
        yield opened


@pytest.fixture
async def far(way: Way, tmp_path: Path) -> AsyncIterator[Door]:
    """An app whose Temporal is at the end of that way, and asks nobody who they are."""
    settings = {"temporal_timeout": DEADLINE, "task_queue": "api-link"}
    async with door(None, tmp_path, authenticated=False, **settings) as opened:
        yield opened


async def _asked(api: Door) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = await api.http.post(EVENTS, json=REPORT, params={"tenant_id": "home"})
    return answer, time.monotonic() - began


async def _unreachable(api: Door, within: float) -> dict[str, Any]:
    answer, seconds = await _asked(api)
    assert seconds < within + SLACK
    assert int(answer.headers["retry-after"]) > 0
    return problem(answer, 503, "TEMPORAL_UNREACHABLE")


async def _reached(api: Door) -> None:
    """Return when the run is what is not found: Temporal was asked. It may take two attempts."""

    async def look() -> bool:
        answer, _ = await _asked(api)
        return answer.status_code == 404

    await eventually_async(look)


async def test_temporal_may_come_after_the_api_go_and_come_again(far: Door, way: Way) -> None:
    """The process starts without it, answers 503 while it is away, and needs no restart."""
    way.close()
    document = await _unreachable(far, DEADLINE)
    assert way.address in document["detail"]
    for _ in range(2):
        await way.open()
        await _reached(far)
        way.close()
        await _unreachable(far, DEADLINE)


async def test_temporal_that_says_nothing_is_not_waited_for(far: Door, way: Way) -> None:
    """Neither when the first connection is made, nor later; and whoever comes then waits less."""
    way.silent = True
    await _unreachable(far, DEADLINE)
    way.silent = False
    way.close()  # what was sent into the silence is lost: only a new connection helps
    await way.open()
    await _reached(far)
    way.silent = True
    began = time.monotonic()
    await asyncio.gather(*(_unreachable(far, DEADLINE) for _ in range(50)))
    assert time.monotonic() - began < DEADLINE + SLACK


async def test_an_event_is_not_taken_while_temporal_is_away(far: Door, way: Way) -> None:
    """503, also when it falls silent, and never a run that nobody hears of: it may come again."""
    await _reached(far)
    await far.context.rules.refresh_now()
    far.context.rules.index = RuleIndex.of([_RULE])
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created"}

    async def tell() -> httpx.Response:
        return await far.http.post(EVENTS, json=event, params={"tenant_id": "home"})

    for away in ("silent", "closed"):
        if away == "silent":
            way.silent = True
        else:
            way.close()
        began = time.monotonic()
        answer = await tell()
        assert time.monotonic() - began < PULSE_SECONDS + 2 * DEADLINE + SLACK
        problem(answer, 503, "TEMPORAL_UNREACHABLE")
    way.silent = False
    await way.open()
    await _reached(far)
    answer = await tell()
    assert answer.status_code == 202
    assert len(answer.json()["events"][0]["runs"]) == 1


async def test_readiness_says_that_temporal_is_missing(
    far: Door, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 soon also when it says nothing; and the process itself is well."""
    monkeypatch.setattr(link, "REMEMBERED", 0.0)
    await _reached(far)
    await far.context.rules.refresh_now()
    assert (await far.http.get("/readyz")).status_code == 200
    way.silent = True
    began = time.monotonic()
    document = problem(await far.http.get("/readyz"), 503, "NOT_READY")
    assert time.monotonic() - began < link.QUICK + SLACK
    assert document["detail"] == "missing: temporal"
    assert document["checks"][0] == {
        "name": "temporal",
        "ok": False,
        "detail": "Temporal does not answer",
    }
    assert (await far.http.get("/healthz")).status_code == 200
