"""Nobody takes a worker's spans, and who fetches its metrics hangs: runs go on all the same."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from domain.states import RunState
from starter.dev.ports import HOST, Wanted, settle
from tests.killed.stack import Stack
from tests.starter.harness import eventually_async
from worker.build import GRACE

TENANT, RUNS, SCRAPERS = "untold", 20, 10
SOON = 20.0
"""Seconds; an exporter waits 10 for each answer, so runs that waited for theirs would take 200."""


@pytest.mark.fault(32)
async def test_back_ends_that_hang_have_no_effect_on_runs(
    stack: Stack, measured: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    """Each is called at once and the oracle has nothing to say; the worker ends when it is told."""
    for other in stack.alive():
        other.terminate()  # one that is killed is given runs for a while
        await other.gone(GRACE.total_seconds() + 8)
    heard: list[bytes] = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            heard.append(piece)
        writer.close()

    [port] = settle([Wanted("metrics", "", 0)])
    silent = await asyncio.start_server(hang, HOST)
    request.addfinalizer(silent.close)
    address = "{}:{}".format(*silent.sockets[0].getsockname())
    worker = stack.start_worker(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{address}", TASKFLOW_METRICS_PORT=str(port)
    )
    await worker.ready()
    with ExitStack() as scraping:
        for _ in range(SCRAPERS):
            scraper = scraping.enter_context(socket.create_connection((HOST, port)))
            scraper.sendall(b"GET /metrics HTTP/1.1\r\n")  # and never the rest
        tasks = [stack.task(TENANT, f"t{n}", "quick", mutex=[f"m{n}"]) for n in range(RUNS)]
        await asyncio.gather(*(stack.go(task) for task in tasks))
        assert (await stack.over(TENANT, within=60))[TENANT] == []

        async def sent() -> bool:  # five seconds after the first has ended
            return any(b"POST /v1/traces" in piece for piece in heard)

        await eventually_async(sent)
        worker.terminate()
        told = time.monotonic()
        assert await worker.gone(GRACE.total_seconds()) == 0
    took = time.monotonic() - told
    await stack.staffed(1)
    runs = (await stack.evidence(TENANT)).runs
    assert {run.status for run in runs} == {RunState.SUCCESS}
    waited = [
        (run.actual_start - run.trigger_time).total_seconds()
        for run in runs
        if run.actual_start and run.trigger_time
    ]
    words = f"a run began after {max(waited):.1f} s at most, and an end took {took:.1f} s"
    measured(f"back ends hang: {words}")
    assert len(waited) == RUNS
    assert max(waited) < SOON
