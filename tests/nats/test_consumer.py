"""The consumer on a real nats-server: what is acknowledged, what comes again, what is put aside."""

import asyncio
import time
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from shared.errors import NotFound, Refused, TemporalUnreachable
from starter.events import Received
from tests.nats.harness import Consuming, Place, Recorder, came, consuming, event
from tests.starter.harness import eventually_async


async def _settled(place: Place, consuming: Consuming, received: int) -> None:
    """Return when so many were delivered, and none is left."""

    async def so() -> bool:
        return consuming.count("received") >= received and await place.all_settled()

    await eventually_async(so)


async def test_an_event_is_acknowledged_once_its_runs_exist(place: Place) -> None:
    """Until then NATS has it, and would give it to another."""
    started = asyncio.Event()

    async def slowly() -> Received:
        await started.wait()
        return came("run/1", "run/2")

    recorder = Recorder({"slow": [slowly]})
    async with consuming(place, recorder.take) as process:
        await place.publish(event(id="slow"))
        await place.publish(event(id="other", type="nobody.cares"))
        await eventually_async(lambda: _has(recorder, 2))
        assert (await place.state()).num_ack_pending
        started.set()
        await _settled(place, process, 2)
        assert process.count("started") == 3
        assert recorder.taken[0][0] == "acme"


async def test_what_takes_longer_than_the_patience_of_nats_is_not_delivered_twice(
    place: Place,
) -> None:
    """The process says that it is at work."""
    await place.consumer(ack_wait=1.2)

    async def slowly() -> Received:
        await asyncio.sleep(2.6)
        return came()

    recorder = Recorder({"1": [slowly]})
    async with consuming(place, recorder.take) as process:
        await place.publish(event())
        await _settled(place, process, 1)
        assert recorder.ids == ["1"]
        assert (process.count("redelivered"), process.count("unmatched")) == (0, 1)


async def test_an_outage_of_temporal_loses_nothing_and_asks_seldom(place: Place) -> None:
    """Events come again when it is back; meanwhile few are asked for."""
    down = True

    async def unreachable() -> Received:
        if down:
            raise TemporalUnreachable("Temporal does not answer")
        return came("run")

    count = 60
    recorder = Recorder({str(number): [unreachable] * 50 for number in range(count)})
    for number in range(count):
        await place.publish(event(id=str(number)))
    async with consuming(place, recorder.take) as process:
        await eventually_async(lambda: _has(recorder, 1))
        await asyncio.sleep(2)
        assert len(recorder.taken) < count
        down = False
        await _settled(place, process, count)
        assert set(recorder.ids) == {str(number) for number in range(count)}
        assert process.count("started") == count
        assert process.count("naks", reason="unreachable") == len(recorder.taken) - count


async def test_an_event_beyond_a_limit_comes_again_after_the_time_that_was_named(
    place: Place,
) -> None:
    """Neither sooner, nor to the harm of others."""

    async def limited() -> Received:
        return came("run/a", retry_after=1)

    recorder = Recorder({"limited": [limited]})
    async with consuming(place, recorder.take) as process:
        began = time.monotonic()
        await place.publish(event(id="limited"))
        await place.publish(event(id="free"))
        await _settled(place, process, 3)
        assert time.monotonic() - began > 1.0
        assert recorder.ids == ["limited", "free", "limited"]
        assert process.count("naks", reason="limited") == 1


async def test_what_breaks_one_event_neither_ends_the_process_nor_loses_the_event(
    place: Place,
) -> None:
    """It is told, and tried again."""

    async def broken() -> Received:
        raise ValueError("nobody thought of this")

    recorder = Recorder({"1": [broken]})
    with capture_logs() as lines:
        async with consuming(place, recorder.take) as process:
            await place.publish(event())
            await _settled(place, process, 2)
            assert process.count("naks", reason="failed") == 1
    outcomes = [line["outcome"] for line in lines if line["event"] == "event"]
    assert outcomes == ["failed", "started"]


async def test_each_event_is_one_line_of_the_log(place: Place) -> None:
    """With what it was, where from, and what came of it."""
    with capture_logs() as lines:
        async with consuming(place, Recorder().take) as process:
            sequence = await place.publish(event(id="e1"))
            await _settled(place, process, 1)
    [line] = [line for line in lines if line["event"] == "event"]
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "event",
        "log_level": "info",
        "action": "nats_event",
        "outcome": "started",
        "subject": place.subject(),
        "stream_sequence": sequence,
        "deliveries": 1,
        "tenant_id": "acme",
        "event_id": "e1",
        "event_source": "/shop",
        "event_type": "order.created",
        "runs": ["run/acme/t/event/e1"],
    }


async def test_poison_is_parked_with_what_is_wrong_and_the_rest_flows(place: Place) -> None:
    """What can never be taken stands in nobody's way, and is all there for whoever looks at it."""
    large = b"x" * 500_000
    poison = {
        await place.publish(b"{"): "not valid JSON",
        await place.publish(large, {"ce-id": "1"}): "500000 bytes: the limit of an event",
        await place.publish_to(place.subject("ACME"), event()): "not a tenant's name",
        await place.publish(event(source=None)): "source: is required",
        await place.publish(b"[]"): "a batch",
        # The server's own header in what it says, and one that publishing obeys.
        await place.publish(
            b"no", {"Status": "404", "Nats-Expected-Stream": place.settings.nats_stream, "a": "b"}
        ): "not valid",
    }
    recorder = Recorder()
    async with consuming(place, recorder.take) as process:
        await place.publish(event(id="good"))
        await _settled(place, process, len(poison) + 1)
        assert recorder.ids == ["good"]
        assert process.count("parked") == len(poison)
    found = {
        int((message.headers or {})["Taskflow-Parked-Sequence"]): message
        for message in await place.parked()
    }
    assert found.keys() == poison.keys()
    for sequence, reason in poison.items():
        headers = found[sequence].headers or {}
        assert reason in headers["Taskflow-Parked-Reason"]
        assert headers["Taskflow-Parked-Stream"] == place.settings.nats_stream
        assert headers["Taskflow-Parked-Subject"] in (place.subject(), place.subject("ACME"))
        stored, parked = (
            datetime.fromisoformat(headers[f"Taskflow-Parked-{at}"]) for at in ("Stored-At", "At")
        )
        assert stored < parked
    first, second, *_, last = sorted(found)
    assert found[first].data == b"{"
    assert found[second].data == large
    kept = found[last].headers or {}
    assert {"Nats-Expected-Stream", "Status", "a"} & kept.keys() == {"a"}


async def test_poison_too_large_to_be_kept_with_its_headers_is_parked_in_part(
    place: Place,
) -> None:
    """One byte over what the server takes would end the connection."""
    body = b"x" * (place.connection.max_payload - 100)
    await place.publish(body)
    async with consuming(place, Recorder().take) as process:
        await _settled(place, process, 1)
    [parked] = await place.parked()
    assert (parked.headers or {})["Taskflow-Parked-Cut"] == str(len(body))
    assert parked.data == body[: len(parked.data or b"")]
    assert len(parked.data) == 16 * 1024


async def test_poison_that_no_stream_keeps_is_told_and_dropped(place: Place) -> None:
    """It would come again for ever."""
    await place.js.delete_stream(f"{place.settings.nats_stream}_PARKED")
    await place.publish(b"{")
    with capture_logs() as lines:
        async with consuming(place, Recorder().take) as process:
            await _settled(place, process, 1)
            assert (process.count("dropped"), process.count("parked")) == (1, 0)
    [line] = [line for line in lines if line.get("action") == "nats_dropped"]
    assert (line["log_level"], line["stream_sequence"]) == ("error", 1)


async def test_a_process_that_is_told_to_stop_ends_what_it_has(place: Place) -> None:
    """Nothing waits for NATS to lose patience: what was not begun goes back at once."""
    began = asyncio.Event()

    async def slowly() -> Received:
        began.set()
        await asyncio.sleep(0.5)
        return came("run")

    recorder = Recorder({"1": [slowly]})
    async with consuming(place, recorder.take) as process:
        await place.publish(event())
        await began.wait()
        await process.end()
        assert process.count("started") == 1
    await eventually_async(place.all_settled)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filter_subject": "x.y"}, "it filters x.y"),
        ({"ack_policy": "all"}, "its ack policy is all"),
        ({"max_deliver": 5}, "gives an event up after 5 deliveries"),
        ({"deliver_subject": "x"}, "it pushes"),
    ],
)
async def test_a_consumer_that_could_lose_events_is_refused(
    place: Place, options: dict[str, str], message: str
) -> None:
    """Somebody made it for something else."""
    if "filter_subject" in options:
        options = {"filter_subject": place.subject("other")}
        message = f"it filters {place.subject('other')}"
    await place.consumer(**options)
    with pytest.raises(Refused, match=message):
        async with consuming(place, Recorder().take) as process:
            await process.work


async def test_streams_are_made_when_that_is_asked_for_only(place: Place) -> None:
    """Else the refusal says how to make one."""
    name = place.settings.nats_stream
    await place.js.delete_stream(name)
    await place.js.delete_stream(f"{name}_PARKED")
    with pytest.raises(NotFound, match="taskflow nats --create-stream"):
        async with consuming(place, Recorder().take) as process:
            await process.work
    recorder = Recorder()
    async with consuming(place, recorder.take, create_stream=True) as process:
        await eventually_async(lambda: _is_there(place))
        await place.publish(event())
        await place.publish(b"{")
        await _settled(place, process, 2)
        assert (recorder.ids, process.count("parked")) == (["1"], 1)
    async with consuming(place, recorder.take, create_stream=True) as process:
        await place.publish(event(id="2"))
        await _settled(place, process, 1)
    assert recorder.ids == ["1", "2"]


async def test_a_consumer_that_is_deleted_meanwhile_is_made_again(place: Place) -> None:
    """And a stream that is gone is waited for."""
    recorder = Recorder()
    async with consuming(place, recorder.take) as process:
        await place.publish(event(id="1"))
        await _settled(place, process, 1)
        await place.js.delete_consumer(place.settings.nats_stream, place.settings.nats_durable)
        await place.publish(event(id="2"))
        await eventually_async(lambda: _has_id(recorder, "2"))


async def _has(recorder: Recorder, count: int) -> bool:
    return len(recorder.taken) >= count


async def _has_id(recorder: Recorder, event_id: str) -> bool:
    return event_id in recorder.ids


async def _is_there(place: Place) -> bool:
    return place.settings.nats_stream in [
        info.config.name for info in await place.js.streams_info()
    ]
