"""What sinks did not take at once: delivered in order and without loss, for as long as allowed."""

import asyncio
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs
from werkzeug import Response

from domain.events_out import Published, RunChanges
from tests.events.conftest import NewSink
from tests.events.harness import RecordingSink, Say, Telling, run_of
from workflows import delivery

pytestmark = pytest.mark.usefixtures("quick")


def _then(*statuses: int | Response) -> Say:
    """These answers one after the other, and then the last one for ever."""
    left: Iterator[int | Response] = iter(statuses[:-1])
    return lambda: next(left, statuses[-1])


def _more(run: RunChanges, *sequences: int, told: Published) -> RunChanges:
    return run_of(*sequences, run_id=run.run_id, handed_over=told.handed_over)


async def test_everything_comes_in_order_when_the_sink_is_back(
    telling: Telling, sink: RecordingSink
) -> None:
    """What came before and during the outage, each once, and what comes after it too."""
    telling.listen(sink)
    run = run_of(1)
    told = await telling.activities.publish(run)
    assert (told.handed_over, sink.sequences(run.run_id)) == (False, [1])
    sink.say = lambda: 503
    async with telling.recovery():
        told = await telling.activities.publish(_more(run, 2, 3, told=told))
        assert told.handed_over
        told = await telling.activities.publish(_more(run, 4, told=told))
        await asyncio.sleep(1.5)
        assert sink.sequences(run.run_id) == [1]
        sink.say = lambda: 200
        told = await telling.activities.publish(_more(run, 5, told=told))
        await sink.took(run.run_id, 1, 2, 3, 4, 5)
        result = await telling.result(run.run_id)
    assert (result.delivered, result.given_up) == (4, 0)
    assert sink.twice() == []
    assert telling.counted("delivered", sink) == 5
    assert telling.counted("handed_over", sink) == 4


async def test_no_worker_and_no_sink_lose_nothing(telling: Telling, sink: RecordingSink) -> None:
    """Changes wait in Temporal until a worker comes, and for it until the sink does."""
    telling.listen(sink)
    sink.say = lambda: 500
    run = run_of(1)
    told = await telling.activities.publish(run)
    for sequence in (2, 3):
        told = await telling.activities.publish(_more(run, sequence, told=told))
    async with telling.recovery():
        await asyncio.sleep(0.5)
    telling.activities = telling.of_another_worker()
    sink.say = lambda: 200
    async with telling.recovery():
        await sink.took(run.run_id, 1, 2, 3)
    assert sink.twice() == []


async def test_many_runs_under_failures_keep_their_order(
    telling: Telling, new_sink: NewSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sinks that fail at random hear every run's story whole, in order and once."""
    monkeypatch.setattr("activities.sink_line.REST_SECONDS", 0.2)
    chance = random.Random(7)  # noqa: S311
    sinks = [new_sink(), new_sink()]
    for sink in sinks:
        sink.say = lambda: 503 if chance.random() < 0.3 else 200
    telling.listen(*sinks)
    runs = [run_of() for _ in range(15)]

    async def live(run: RunChanges) -> None:
        told = Published()
        for sequence in range(1, 7):
            told = await telling.activities.publish(_more(run, sequence, told=told))
            await asyncio.sleep(chance.random() / 5)

    async with telling.recovery():
        await asyncio.gather(*(live(run) for run in runs))
        for sink in sinks:
            for run in runs:
                await sink.took(run.run_id, 1, 2, 3, 4, 5, 6, within=40)
            assert telling.counted("handed_over", sink) > 0
    for sink in sinks:
        assert sink.twice() == []
        assert telling.counted("delivered", sink) == 90


async def test_a_lost_answer_is_the_only_reason_to_tell_twice(
    telling: Telling, sink: RecordingSink
) -> None:
    """Whether it took the event nobody knows: it comes again under the same id."""
    telling.listen(sink, timeout="300ms")
    slow = True

    def lose() -> int:
        if slow:
            time.sleep(0.6)
        return 200

    sink.say = lose
    run = run_of(1)
    async with telling.recovery():
        assert (await telling.activities.publish(run)).handed_over
        await asyncio.sleep(1)
        slow = False
        assert (await telling.result(run.run_id)).delivered == 1
    assert set(sink.twice()) == {f"{run.run_id}/1"}


async def test_a_sink_that_hangs_holds_up_no_other(telling: Telling, new_sink: NewSink) -> None:
    """Of one run, too."""
    good, bad = new_sink(), new_sink()
    telling.listen(good, bad)
    good.say = _then(500, 200)
    bad.say = lambda: 500
    run = run_of(1, 2)
    async with telling.recovery():
        told = await telling.activities.publish(run)
        await good.took(run.run_id, 1, 2, within=4)
        await telling.activities.publish(_more(run, 3, told=told))
        await good.took(run.run_id, 1, 2, 3, within=1)
        assert bad.sequences(run.run_id) == []
        bad.say = lambda: 200
        await bad.took(run.run_id, 1, 2, 3)


async def test_retry_for_ends_with_a_count(telling: Telling, sink: RecordingSink) -> None:
    """What is older is given up, in a log line with the run and a counter; what is newer is not."""
    telling.listen(sink, retry_for="2s")
    sink.say = lambda: 503
    run = run_of(1)
    with capture_logs() as lines:
        async with telling.recovery():
            started = time.monotonic()
            told = await telling.activities.publish(run)
            await asyncio.sleep(1.2)
            await telling.activities.publish(_more(run, 2, told=told))
            await telling.given_up(sink, 1)
            assert 1.9 < time.monotonic() - started < 3.5
            sink.say = lambda: 200
            await sink.took(run.run_id, 2)
            result = await telling.result(run.run_id)
    assert (result.delivered, result.given_up) == (1, 1)
    assert telling.counted("given_up", sink) == 1
    [line] = [line for line in lines if line.get("action") == "event_given_up"]
    assert (line["run_id"], line["sink"], line["sequences"]) == (run.run_id, sink.name, [1])
    assert "503" in line["reason"]


async def test_a_refusal_is_final(telling: Telling, sink: RecordingSink) -> None:
    """A 4xx is not asked for again; several that are refused together are tried alone."""
    telling.listen(sink)
    sink.say = _then(422, 422, 422, 200)
    run = run_of(1, 2)
    async with telling.recovery():
        await telling.activities.publish(run)
        result = await telling.result(run.run_id)
    assert (result.delivered, result.given_up) == (1, 1)
    assert sink.sequences(run.run_id) == [2]
    assert [len(events) for events in sink.requests] == [2, 2, 1, 1]
    assert telling.counted("given_up", sink) == 1


@pytest.mark.parametrize("status", [408, 409, 425, 429, 302, 500])
async def test_what_may_pass_is_tried_again(
    telling: Telling, sink: RecordingSink, status: int
) -> None:
    """These are no refusals."""
    telling.listen(sink)
    sink.say = _then(status, status, 204)
    run = run_of(1)
    async with telling.recovery():
        await telling.activities.publish(run)
        assert (await telling.result(run.run_id)).delivered == 1
    assert sink.asked(run.run_id) == 3


async def test_retry_after_is_honoured(telling: Telling, sink: RecordingSink) -> None:
    """A sink that asks for three seconds gets them."""
    telling.listen(sink)
    sink.say = _then(503, Response(status=429, headers={"Retry-After": "3"}), 200)
    run = run_of(1)
    async with telling.recovery():
        await telling.activities.publish(run)
        started = time.monotonic()
        await sink.took(run.run_id, 1)
    assert 2.9 < time.monotonic() - started < 5


async def test_a_sink_that_is_gone_wants_nothing_more(
    telling: Telling, sink: RecordingSink
) -> None:
    """After 410 whatever is owed to it is given up, with one request in all."""
    telling.listen(sink)
    sink.say = _then(503, 410)
    run = run_of(1)
    told = await telling.activities.publish(run)
    await telling.activities.publish(_more(run, 2, told=told))
    async with telling.recovery():
        assert (await telling.result(run.run_id)).given_up == 2
    assert len(sink.requests) == 2


async def test_a_sink_that_left_the_file_is_given_up(telling: Telling, new_sink: NewSink) -> None:
    """Not at once: the file of another worker may be newer."""
    gone, stays = new_sink(), new_sink()
    telling.listen(gone, stays)
    gone.say = stays.say = lambda: 500
    run = run_of(1)
    told = await telling.activities.publish(run)
    old = run.changes[0].model_copy(update={"at": datetime.now(UTC) - timedelta(hours=1)})
    before = run_of(run_id=f"{run.run_id}/before", changes=[old])
    await telling.activities.publish(before)
    telling.listen(stays)
    async with telling.recovery():
        stays.say = lambda: 200
        assert (await telling.result(before.run_id)).given_up == 1
        await stays.took(run.run_id, 1)
        assert telling.counted("given_up", gone) == 1
        telling.listen(gone, stays)
        gone.say = lambda: 200
    async with telling.recovery():
        await gone.took(run.run_id, 1)
    assert told.handed_over


async def test_a_later_change_starts_it_again(telling: Telling, sink: RecordingSink) -> None:
    """A run may go on for hours after its delivery has ended."""
    telling.listen(sink)
    sink.say = _then(500, 200)
    run = run_of(1)
    async with telling.recovery():
        told = await telling.activities.publish(run)
        assert (await telling.result(run.run_id)).delivered == 1
        await telling.activities.publish(_more(run, 2, told=told))
        await sink.took(run.run_id, 1, 2)
        assert (await telling.result(run.run_id)).delivered == 1


async def test_nothing_is_lost_between_an_end_and_a_start(
    telling: Telling, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes that come just when a delivery ends are in it, or in the next one."""
    monkeypatch.setattr("workflows.delivery.IDLE", timedelta(milliseconds=60))
    telling.listen(sink)
    runs = [run_of() for _ in range(6)]
    chance = random.Random(3)  # noqa: S311

    async def live(run: RunChanges) -> None:
        for sequence in range(1, 21):
            change = run_of(sequence, run_id=run.run_id, handed_over=True)
            await telling.activities.publish(change)
            await asyncio.sleep(0.04 + chance.random() * 0.06)

    async with telling.recovery():
        await asyncio.gather(*(live(run) for run in runs))
        for run in runs:
            await sink.took(run.run_id, *range(1, 21))
    assert sink.twice() == []


async def test_a_full_history_goes_on_as_a_new_run(
    telling: Telling, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is owed goes with it, in the middle of retries too."""
    monkeypatch.setattr(delivery, "EVENTS_PER_RUN", 25)
    telling.listen(sink)
    sink.say = lambda: 500
    run = run_of(1)
    async with telling.recovery():
        told = await telling.activities.publish(run)
        first = (await telling.delivery(run.run_id).describe()).run_id
        for sequence in range(2, 31):
            told = await telling.activities.publish(_more(run, sequence, told=told))
            await asyncio.sleep(0.03)
        sink.say = lambda: 200
        await sink.took(run.run_id, *range(1, 31))
        assert (await telling.delivery(run.run_id).describe()).run_id != first
        assert (await telling.result(run.run_id)).delivered == 30
    assert sink.twice() == []


async def test_the_same_hand_over_twice_is_owed_once(telling: Telling, sink: RecordingSink) -> None:
    """A run that did not hear the answer hands the same over again."""
    telling.listen(sink)
    sink.say = lambda: 500
    run = run_of(1, 2)
    told = await telling.activities.publish(run)
    await telling.activities.publish(_more(run, 1, 2, told=told))
    await telling.activities.publish(_more(run, 2, 3, told=told))
    sink.say = lambda: 200
    async with telling.recovery():
        await sink.took(run.run_id, 1, 2, 3)
        assert (await telling.result(run.run_id)).delivered == 3
    assert sink.twice() == []


async def test_one_sink_does_not_take_every_slot(
    telling: Telling, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond so many requests to it, deliveries wait in Temporal and not in a worker."""
    monkeypatch.setattr("activities.events.MOST_AT_ONCE", 2)
    monkeypatch.setattr("activities.events.CROWDED", timedelta(seconds=1))
    under_way: list[int] = []
    most = 0

    def crowd() -> int:
        nonlocal most
        under_way.append(1)
        most = max(most, len(under_way))
        time.sleep(0.2)
        under_way.pop()
        return 200

    telling.listen(sink)
    sink.say = crowd
    runs = [run_of(1, handed_over=True) for _ in range(8)]
    await asyncio.gather(*(telling.activities.publish(run) for run in runs))
    async with telling.recovery():
        for run in runs:
            await sink.took(run.run_id, 1, within=30)
    assert most <= 2


async def test_a_request_may_take_longer_than_a_worker_may_be_silent(
    telling: Telling, sink: RecordingSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow sink is not a lost worker: it is asked once."""
    monkeypatch.setattr(delivery, "SILENT_FOR", timedelta(seconds=6))
    telling.listen(sink, timeout="20s")

    def slowly() -> int:
        time.sleep(8)
        return 200

    sink.say = slowly
    run = run_of(1, handed_over=True)
    await telling.activities.publish(run)
    async with telling.recovery():
        await sink.took(run.run_id, 1)
        assert (await telling.result(run.run_id)).delivered == 1
    assert sink.asked(run.run_id) == 1
