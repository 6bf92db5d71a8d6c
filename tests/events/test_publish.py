"""Telling sinks at once: what a run waits for, and what is handed over instead."""

import asyncio
import logging
import socket
import threading
import time
from typing import Any

import pytest
from structlog.testing import capture_logs
from temporalio.service import RPCError, RPCStatusCode

from domain.cloud_event import event_of
from domain.events_out import Published
from tests.events.conftest import NewSink
from tests.events.harness import RecordingSink, Telling, run_of


def _slow(seconds: float, gate: threading.Event | None = None) -> Any:
    def say() -> int:
        (gate or threading.Event()).wait(seconds)
        return 200

    return say


async def test_nobody_listens(telling: Telling, sink: RecordingSink) -> None:
    """Without a sinks file, and for tenants that no sink names, a run need not ask again."""
    assert await telling.activities.publish(run_of(1)) == Published(sinks=False)
    telling.listen(sink, tenants=["beta"])
    assert await telling.activities.publish(run_of(1)) == Published(sinks=False)
    beta = run_of(1, tenant_id="beta")
    assert await telling.activities.publish(beta) == Published(sinks=True)
    assert sink.sequences(beta.run_id) == [1]


async def test_a_sink_is_told_at_once(telling: Telling, sink: RecordingSink) -> None:
    """One change is an event, more of them are a batch; no workflow is started."""
    telling.listen(sink)
    run = run_of(1)
    assert await telling.activities.publish_changes(run) == Published(sinks=True)
    assert sink.taken == [event_of(run, run.changes[0])]
    more = run_of(2, 3, run_id=run.run_id)
    assert await telling.activities.publish(more) == Published(sinks=True)
    assert sink.sequences(run.run_id) == [1, 2, 3]
    assert len(sink.requests) == 2
    assert telling.counted("delivered", sink) == 3
    with pytest.raises(RPCError) as missing:
        await telling.delivery(run.run_id).describe()
    assert missing.value.status is RPCStatusCode.NOT_FOUND


async def test_a_sink_names_the_statuses_that_it_wants(telling: Telling, new_sink: NewSink) -> None:
    """Others are not sent to it, and are not owed to it."""
    ends, everything = new_sink(), new_sink()
    entries = [(ends, ends.entry(statuses=["SUCCESS"])), (everything, everything.entry())]
    telling.listen_to(entries)
    run = run_of(1, 2, 3, 4)
    assert await telling.activities.publish(run) == Published(sinks=True)
    assert ends.sequences(run.run_id) == [4]
    assert everything.sequences(run.run_id) == [1, 2, 3, 4]
    more = run_of(1, 2)
    ends.say = lambda: 500
    assert await telling.activities.publish(more) == Published(sinks=True)
    assert ends.asked(more.run_id) == 0


async def test_a_slow_sink_costs_a_second_and_only_once(
    telling: Telling, sink: RecordingSink
) -> None:
    """The run that meets it waits a second; it, and others after it, do not wait again."""
    telling.listen(sink, timeout="30s")
    gate = threading.Event()
    sink.say = _slow(20, gate)
    run = run_of(1)
    try:
        started = time.monotonic()
        assert await telling.activities.publish(run) == Published(sinks=True, handed_over=True)
        assert 0.9 < time.monotonic() - started < 1.5

        started = time.monotonic()
        more = run_of(2, run_id=run.run_id, handed_over=True)
        assert await telling.activities.publish(more) == Published(sinks=True, handed_over=True)
        others = [telling.activities.publish(run_of(1)) for _ in range(10)]
        assert {p.handed_over for p in await asyncio.gather(*others)} == {True}
        assert time.monotonic() - started < 0.5
        assert telling.counted("handed_over", sink) == 12
    finally:
        gate.set()


async def test_a_sink_that_is_down_stalls_nobody(telling: Telling, sink: RecordingSink) -> None:
    """A refused connection costs nothing, and an error is asked for once in ten seconds."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        telling.listen(sink, url=nobody)
        started = time.monotonic()
        assert (await telling.activities.publish(run_of(1))).handed_over
        assert time.monotonic() - started < 0.5
    telling.listen(sink)
    sink.say = lambda: 503
    for _ in range(5):
        assert (await telling.activities.publish(run_of(1))).handed_over
    assert len(sink.requests) == 1


async def test_after_a_rest_one_run_tries_again(
    telling: Telling, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others do not wait for what it finds; what it finds counts for all."""
    monkeypatch.setattr("activities.sink_line.REST_SECONDS", 0.3)
    telling.listen(sink)
    sink.say = lambda: 503
    assert (await telling.activities.publish(run_of(1))).handed_over
    await asyncio.sleep(0.35)
    sink.say = _slow(0.2)
    trying = asyncio.create_task(telling.activities.publish(run_of(1)))
    await asyncio.sleep(0.1)
    started = time.monotonic()
    assert (await telling.activities.publish(run_of(1))).handed_over
    assert time.monotonic() - started < 0.1
    assert not (await trying).handed_over
    assert not (await telling.activities.publish(run_of(1))).handed_over


async def test_sinks_do_not_answer_for_each_other(telling: Telling, new_sink: NewSink) -> None:
    """What one does not take is owed to it alone."""
    good, bad = new_sink(), new_sink()
    bad.say = lambda: 500
    telling.listen(good, bad)
    run = run_of(1)
    assert (await telling.activities.publish(run)).handed_over
    assert good.sequences(run.run_id) == [1]
    assert telling.counted("handed_over", good) == 0
    assert telling.counted("handed_over", bad) == 1


async def test_runs_share_requests_while_one_is_under_way(
    telling: Telling, sink: RecordingSink
) -> None:
    """A storm is a few requests, and each run's changes stay together and in order."""
    telling.listen(sink)
    sink.say = _slow(0.1)
    runs = [run_of(1, 2, 3) for _ in range(60)]
    told = []
    for index in range(0, 60, 10):
        told += [asyncio.create_task(telling.activities.publish(r)) for r in runs[index:][:10]]
        await asyncio.sleep(0.005)
    assert {p.handed_over for p in await asyncio.gather(*told)} == {False}
    assert all(sink.sequences(run.run_id) == [1, 2, 3] for run in runs)
    assert sink.twice() == []
    assert len(sink.requests) < 10
    assert max(len(events) for events in sink.requests) <= 100


async def test_a_sink_that_is_gone_is_left_alone(telling: Telling, sink: RecordingSink) -> None:
    """After 410 nothing is sent or handed over until its file changes."""
    telling.listen(sink)
    sink.say = lambda: 410
    for _ in range(3):
        assert await telling.activities.publish(run_of(1)) == Published(sinks=True)
    assert len(sink.requests) == 1
    assert telling.counted("given_up", sink) == 3
    sink.say = lambda: 200
    telling.file.write_text(telling.file.read_text() + "# it is back\n")
    run = run_of(1)
    assert await telling.activities.publish(run) == Published(sinks=True)
    assert sink.sequences(run.run_id) == [1]


async def test_who_took_it_is_not_told_again_when_handing_over_fails(
    telling: Telling, new_sink: NewSink, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    """Temporal was away for a moment: the second try hands over what the first one owed."""
    good, bad = new_sink(), new_sink()
    telling.listen(good, bad)
    bad.say = lambda: 500
    run = run_of(1)

    async def away(*_: Any, **__: Any) -> None:
        raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")

    with monkeypatch.context() as patch:
        patch.setattr(telling.client, "start_workflow", away)
        with pytest.raises(RPCError):
            await telling.activities.publish(run)
    again = run_of(1, 2, run_id=run.run_id)
    assert (await telling.activities.publish(again)).handed_over
    bad.say = lambda: 200
    async with telling.recovery():
        await bad.took(run.run_id, 1, 2)
        assert (await telling.result(run.run_id)).delivered == 2
    assert good.sequences(run.run_id) == [1, 2]
    assert (good.twice(), bad.twice()) == ([], [])


async def test_nothing_that_is_said_shows_a_secret(
    telling: Telling, sink: RecordingSink, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Logs, the workflow's history and the objects themselves; nor the URL, which may hold one."""
    caplog.set_level(logging.DEBUG)
    telling.listen(sink, url=f"{sink.url}?token=hunter2", retry_for="1s")
    sink.say = lambda: 503
    run = run_of(1)
    with capture_logs() as lines:
        await telling.activities.publish(run)
        async with telling.recovery():
            assert (await telling.result(run.run_id)).given_up == 1
    history = (await telling.delivery(run.run_id).fetch_history()).to_json()
    ours = [
        record.getMessage() for record in caplog.records if record.name.startswith("temporalio")
    ]
    sinks = telling.sinks.of("acme")
    said = [str(lines), history, str(ours), repr(sinks), str(vars(telling.activities))]
    assert "sink fails" in said[0]
    assert "503" in history
    for text in said:
        assert sink.secret[6:] not in text
        assert repr(sinks[0].secrets[0].key) not in text
    for text in said[:3]:
        assert "hunter2" not in text
