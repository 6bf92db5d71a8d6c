"""NATS that goes away and comes back, that lets nobody in, and processes that share the work."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from starter.events import Received
from tests.nats.harness import Place, Recorder, came, consuming, event, place_on
from tests.nats.server import NatsServer, running
from tests.starter.harness import eventually_async

SHARED = 200


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[tuple[NatsServer, Place]]:
    """A server that the test may kill, and a stream on it."""
    with running(tmp_path) as server:
        await server.serving()
        async with place_on(server.url) as place:
            yield server, place


async def test_a_server_that_is_killed_and_comes_back_is_found_again(
    own: tuple[NatsServer, Place],
) -> None:
    """An event that was being taken meanwhile is acknowledged in the end, and none is lost."""
    server, place = own
    await place.consumer(ack_wait=1.0)
    began, go_on = asyncio.Event(), asyncio.Event()

    async def across() -> Received:
        began.set()
        await go_on.wait()
        return came("run")

    recorder = Recorder({"across": [across]})
    async with consuming(place, recorder.take) as process:
        await place.publish(event(id="across"))
        await began.wait()
        server.kill()
        go_on.set()
        await asyncio.sleep(0.5)
        server.start()
        await server.serving()
        await eventually_async(lambda: _connected(place))
        await place.publish(event(id="after"))
        await eventually_async(lambda: _settled(place, recorder, {"across", "after"}))
        assert process.count("started") == len(recorder.taken)


async def test_a_process_stops_while_nats_is_away_before_it_came_and_after(
    own: tuple[NatsServer, Place],
) -> None:
    """Whoever stops it does not have to mend NATS first."""
    server, place = own
    recorder = Recorder()
    async with consuming(place, recorder.take) as process:
        await place.publish(event())
        await eventually_async(lambda: _settled(place, recorder, {"1"}))
        server.kill()
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await process.end()
    async with consuming(place, recorder.take) as process:
        await asyncio.sleep(0.2)
        await process.end()
    assert time.monotonic() - began < 6


async def test_processes_with_the_same_durable_share_the_work(place: Place) -> None:
    """Each event is one process's, and the others have theirs meanwhile."""
    first, second = Recorder(), Recorder()
    async with consuming(place, first.take), consuming(place, second.take):
        await eventually_async(lambda: place.waited_for(2))
        for number in range(SHARED):
            await place.publish(event(id=str(number)))
        await eventually_async(place.all_settled)
    assert sorted(map(int, first.ids + second.ids)) == list(range(SHARED))
    assert min(len(first.ids), len(second.ids)) > SHARED / 10


async def test_a_server_that_lets_nobody_in_is_asked_again_and_the_password_is_not_told(
    tmp_path: Path,
) -> None:
    """Whoever reads the log learns which server it is, and why it refuses."""
    with running(tmp_path, "--user", "ann", "--pass", "s3cret") as server:
        await server.serving()
        right = server.url.replace("//", "//ann:s3cret@")
        async with place_on(right) as place:
            place.settings.nats_url = right.replace("s3cret", "wr0ng")
            with capture_logs() as lines:
                async with consuming(place, Recorder().take):
                    await eventually_async(lambda: _told(lines))
            assert "wr0ng" not in str(lines)
            place.settings.nats_url = right
            recorder = Recorder()
            async with consuming(place, recorder.take):
                await place.publish(event())
                await eventually_async(lambda: _settled(place, recorder, {"1"}))


async def _connected(place: Place) -> bool:
    return place.connection.is_connected


async def _settled(place: Place, recorder: Recorder, ids: set[str]) -> bool:
    return set(recorder.ids) == ids and await place.all_settled()


async def _told(lines: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        line["event"] == "trouble with NATS" and "Authorization" in line["reason"] for line in lines
    )
