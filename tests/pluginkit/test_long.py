"""Work that takes long: accepted, told of by signed reports, stopped when nobody wants it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import JsonValue

from pluginkit import Call, PluginError
from pluginkit.testing import Failed, Scheduler
from shared.webhooks import ID, verify
from tests.activities.server import RawServer, http, ok, reset
from tests.pluginkit.conftest import TAKEN, Serve, Shop
from tests.pluginkit.harness import SECRETS, Caller, new_key, until


class Heard:
    """The reports of one execution, as they came to the scheduler."""

    def __init__(self, server: RawServer, key: str) -> None:
        self._server = server
        self._key = key

    def __call__(self) -> list[dict[str, Any]]:
        """Their data, in order."""
        events = [request.body for request in self._server.requests]
        return [event["data"] for event in events if event["subject"] == self._key]

    def final(self) -> list[dict[str, Any]]:
        """Those that end it."""
        return [said for said in self() if said["status"] != "RUNNING"]

    async def end(self) -> dict[str, Any]:
        """The first that ends it, once it has come."""
        await until(self.final)
        return self.final()[0]


@pytest.fixture
async def accepting(shop: Shop, serve: Serve, scheduler: RawServer) -> AsyncIterator[Caller]:
    """A plugin that accepts every call at once."""
    shop.gate.clear()
    async with serve(shop.plugin(long=True, scheduler_url=scheduler.url, grace=0.2)) as caller:
        yield caller


async def test_reports_are_signed_events(
    accepting: Caller, shop: Shop, scheduler: RawServer
) -> None:
    """Whose attempt it is, how far it is, how it ended; numbered upwards, each with its own id."""
    key = new_key()
    answer = await accepting.call(key, attempt=2, fence=2, heartbeat_timeout=0.3)
    assert answer.status_code == 202
    await until(lambda: shop.calls)
    await shop.calls[0].progress({"rows": 7}, "reading")
    heard = Heard(scheduler, key)
    await until(lambda: len(heard()) >= 3)
    shop.gate.set()
    end = await heard.end()
    assert (end["status"], end["result"]) == ("SUCCESS", {"n": 1})
    beat = heard()[1]
    assert (beat["status"], beat["progress"], beat["message"]) == (
        "RUNNING",
        {"rows": 7},
        "reading",
    )
    for said in heard():
        assert (said["run_id"], said["attempt"], said["nonce"]) == (key, 2, "n-1")
    numbers = [said["sequence"] for said in heard()]
    assert numbers == sorted(set(numbers))
    assert len({request.headers[ID] for request in scheduler.requests}) == len(numbers)
    for request in scheduler.requests:
        assert request.line.startswith("POST /internal/events ")
        assert request.headers["content-type"] == "application/cloudevents+json"
        assert request.body["type"] == "task.execution.updated"
        assert request.body["source"] == "/plugin/runtime/builder"
        assert request.body["specversion"] == "1.0"
        content = json.dumps(request.body, ensure_ascii=False).encode()
        found = verify(SECRETS, request.headers, content, now=datetime.now(UTC))
        assert found == request.body["id"]


async def test_heartbeats_come_by_themselves_in_time(
    accepting: Caller, shop: Shop, scheduler: RawServer
) -> None:
    """Three in each heartbeat timeout, so that one of them may get lost."""
    key = new_key()
    await accepting.call(key, heartbeat_timeout=0.6)
    await asyncio.sleep(1.1)
    beats = len(Heard(scheduler, key)())
    assert 3 <= beats <= 6
    shop.gate.set()


async def test_a_call_that_waits_for_reports_gets_them_in_time(
    accepting: Caller, shop: Shop, scheduler: RawServer
) -> None:
    """Also when the work was begun by one that waits for none, as short calls do."""
    key = new_key()
    await accepting.call(key, heartbeat_timeout=None)
    await asyncio.sleep(0.2)
    await accepting.call(key, heartbeat_timeout=0.6)
    await asyncio.sleep(1.1)
    assert len(Heard(scheduler, key)()) >= 3
    shop.gate.set()


async def test_quick_progress_is_told_together(
    accepting: Caller, shop: Shop, scheduler: RawServer
) -> None:
    """A thousand words in a moment are one or two reports, and the last word counts."""
    key = new_key()
    await accepting.call(key)
    await until(lambda: shop.calls)
    for row in range(1000):
        await shop.calls[0].progress(row)
    heard = Heard(scheduler, key)
    await until(lambda: heard() and heard()[-1]["progress"] == 999)
    assert len(heard()) <= 2
    with pytest.raises(ValueError, match="16384 bytes"):
        await shop.calls[0].progress("x" * 20_000)
    with pytest.raises(ValueError, match="JSON"):
        await shop.calls[0].progress(float("nan"))
    with pytest.raises(ValueError, match="surrogates"):
        await shop.calls[0].progress(1, "\ud800")
    shop.gate.set()


async def test_only_work_that_takes_long_is_accepted(
    shop: Shop, serve: Serve, scheduler: RawServer
) -> None:
    """The others are answered, and nothing is reported."""
    async with serve(shop.plugin(scheduler_url=scheduler.url, accept_after=0.2)) as caller:
        assert await caller.result() == {"n": 1}
        shop.gate.clear()
        key = new_key()
        calls = [asyncio.create_task(caller.call(key)) for _ in range(3)]
        assert [(await call).status_code for call in calls] == [202] * 3
        assert (await caller.call(key)).status_code == 202, "it is accepted already"
        shop.gate.set()
        await Heard(scheduler, key).end()
        assert await caller.result(key) == {"n": 2}
    assert {event.body["subject"] for event in scheduler.requests} == {key}


async def test_failures_are_reported_as_they_are(
    accepting: Caller, shop: Shop, scheduler: RawServer
) -> None:
    """Code, message and whether it may be tried again."""

    def fails(call: Call) -> JsonValue:
        raise PluginError("NO_PAPER", "\ud800" + "x" * 5000, retryable=False)

    shop.says = fails
    key = new_key()
    assert (await accepting.call(key)).status_code == 202
    shop.gate.set()
    end = await Heard(scheduler, key).end()
    assert (end["error_code"], end["retryable"]) == ("NO_PAPER", False)
    assert end["message"] == "?" + "x" * 3999


async def test_the_end_is_told_until_it_is_heard(
    accepting: Caller, shop: Shop, scheduler: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through broken connections and refusals that are not final, each time signed anew."""
    monkeypatch.setattr("pluginkit.heralds.FIRST_PAUSE", 0.05)
    key = new_key()
    await accepting.call(key)
    await until(lambda: shop.calls)
    heard = Heard(scheduler, key)
    scheduler.answer = reset()
    shop.gate.set()
    await until(lambda: len(heard.final()) >= 2)
    scheduler.answer = http("503 Busy")
    await until(lambda: len(heard.final()) >= 4)
    scheduler.answer = TAKEN
    count = len(heard.final()) + 1
    await until(lambda: len(heard.final()) >= count)
    await asyncio.sleep(0.5)
    assert len(heard.final()) <= count + 1
    assert {said["status"] for said in heard.final()} == {"SUCCESS"}


@pytest.mark.parametrize("status", ["404 Not Found", "409 Conflict"])
async def test_work_that_was_given_up_stops_and_may_be_done_later(
    accepting: Caller, shop: Shop, scheduler: RawServer, status: str
) -> None:
    """A heartbeat learns of it; the next attempt has the same key."""
    scheduler.answer = http(status)
    key = new_key()
    await accepting.call(key, heartbeat_timeout=0.3)
    await until(lambda: shop.stopped == [key])
    heard = Heard(scheduler, key)
    await asyncio.sleep(0.2)
    assert not heard.final(), "nobody waits for it"
    scheduler.answer = TAKEN
    assert (await accepting.call(key, attempt=2, fence=2)).status_code == 202
    shop.gate.set()
    end = await heard.end()
    assert (end["attempt"], end["status"]) == (2, "SUCCESS")


async def test_work_that_nobody_wants_stops_for_good(
    accepting: Caller, shop: Shop, scheduler: RawServer
) -> None:
    """Whether a heartbeat learns of it, or the plugin is told."""
    by_report, by_call = new_key(), new_key()
    await accepting.call(by_call)
    assert (await accepting.cancel(by_call)).status_code == 202
    assert (await Heard(scheduler, by_call).end())["error_code"] == "CANCELLED"
    scheduler.answer = ok({"duplicate": False, "cancel_requested": True})
    await accepting.call(by_report, heartbeat_timeout=0.3)
    assert (await Heard(scheduler, by_report).end())["error_code"] == "CANCELLED"
    for key in (by_report, by_call):
        assert await accepting.failure(key, attempt=2, fence=2) == ("CANCELLED", False)


async def test_a_later_attempt_takes_over_the_work_and_its_reports(
    accepting: Caller, shop: Shop, scheduler: RawServer
) -> None:
    """A worker was lost and the plugin was not: nothing is begun again."""
    key = new_key()
    await accepting.call(key)
    assert (await accepting.call(key, attempt=2, fence=2, nonce="n-2")).status_code == 202
    shop.gate.set()
    end = await Heard(scheduler, key).end()
    assert (end["attempt"], end["nonce"]) == (2, "n-2")
    assert len(shop.calls) == 1


async def test_what_cannot_be_taken_is_told_as_a_failure(
    accepting: Caller, shop: Shop, scheduler: RawServer
) -> None:
    """A progress that is refused is not the end of work; of a result something must be heard."""
    key = new_key()
    await accepting.call(key, heartbeat_timeout=0.3)
    await until(lambda: shop.calls)
    scheduler.answer = http("422 Unprocessable")
    await shop.calls[0].progress("strange")
    heard = Heard(scheduler, key)
    await until(lambda: [said["progress"] for said in heard()][-2:] == ["strange", None])
    shop.gate.set()
    await until(lambda: len(heard.final()) == 2)
    assert [said["status"] for said in heard.final()] == ["SUCCESS", "FAILED"]
    assert heard.final()[1]["error_code"] == "RESULT_REFUSED"


async def test_a_shutdown_ends_what_is_under_way_and_says_so(
    shop: Shop, serve: Serve, scheduler: RawServer
) -> None:
    """After a grace; what was accepted may be tried again elsewhere."""
    shop.gate.clear()
    key = new_key()
    async with serve(shop.plugin(long=True, scheduler_url=scheduler.url, grace=0.1)) as caller:
        assert (await caller.call(key)).status_code == 202
    end = await Heard(scheduler, key).end()
    assert (end["status"], end["error_code"], end["retryable"]) == (
        "FAILED",
        "PLUGIN_STOPPED",
        True,
    )
    assert shop.stopped == [key]


async def test_accepted_work_ends_at_its_deadline(
    accepting: Caller, shop: Shop, scheduler: RawServer
) -> None:
    """And says so, should anybody still listen."""
    key = new_key()
    soon = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    await accepting.call(key, deadline=soon)
    assert (await Heard(scheduler, key).end())["error_code"] == "DEADLINE_EXCEEDED"
    assert shop.stopped == [key]


@asynccontextmanager
async def _tested(shop: Shop, **options: Any) -> AsyncIterator[Scheduler]:
    async with Scheduler(shop.plugin(scheduler_url="http://scheduler", **options)) as scheduler:
        yield scheduler


@pytest.mark.parametrize("long", [True, False])
async def test_authors_test_without_a_server(shop: Shop, *, long: bool) -> None:
    """The result comes the same way, however it is told; failures are errors."""
    async with _tested(shop, long=long, grace=0.1) as scheduler:
        assert await scheduler.run("builder", {"scope": "all"}) == {"n": 1}
        assert shop.calls[0].params == {"scope": "all"}

        def fails(call: Call) -> JsonValue:
            raise PluginError("NO_PAPER", "the tray is empty")

        shop.says = fails
        with pytest.raises(Failed, match="the tray is empty") as failure:
            await scheduler.run("builder")
        assert (failure.value.code, failure.value.retryable) == ("NO_PAPER", True)


async def test_authors_test_cancellation(shop: Shop) -> None:
    """A test may be told that nobody wants the work, and may tell the plugin."""
    shop.gate.clear()
    async with _tested(shop, long=True, grace=0.1) as scheduler:
        body = scheduler.body("builder")
        assert (await scheduler.execute("builder", body)).status_code == 202
        assert (await scheduler.cancel("builder", body["run_id"])).status_code == 202
        assert (await scheduler.end_of(body["run_id"]))["error_code"] == "CANCELLED"
        scheduler.wants = False
        with pytest.raises(Failed, match="CANCELLED"):
            await scheduler.run("builder", heartbeat_timeout=0.3)
