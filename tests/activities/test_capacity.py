"""The calls of the capacity service: what they carry, and what comes of yes and no."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.capacity import LONGEST_WAIT, CapacityActivities
from domain.capacity import CapacityAnswer
from domain.trace import trace_id
from sandbox.client import SandboxClient
from tests.activities.capacity_calls import PARENT, RELEASE, REQUEST, failed
from tests.activities.conftest import RUN_ID, TEMPORAL_RUN_ID
from tests.activities.server import RawServer, http, ok

_GRANT = ok({"granted": True})


async def test_the_requests_carry_the_contract(
    capacity: CapacityActivities, server: RawServer
) -> None:
    """Path, bodies and headers are those that the capacity service is promised."""
    server.answer = _GRANT
    await capacity.reserve(REQUEST, PARENT)
    await capacity.release(RELEASE, PARENT)
    reserve, release = server.requests
    who = {"reservation_id": RUN_ID, "tenant_id": "acme", "task_id": "report"}
    assert reserve.body == who | {
        "action": "reserve",
        "resources": {"gpu": 2, "disk": 0},
        "start": "2026-11-23T02:00:00+00:00",
        "duration": 60.5,
    }
    assert release.body == who | {"action": "release"}
    for request, action in ((reserve, "reserve"), (release, "release")):
        assert request.line == "POST /ops/capacity/reserve HTTP/1.1"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["idempotency-key"] == f"{RUN_ID}/{action}"
        assert request.headers["traceparent"] == PARENT


async def test_an_activity_names_the_trace_of_its_run(
    capacity: CapacityActivities, server: RawServer
) -> None:
    """Attempts share the trace of the run and the key; their spans differ."""
    server.answer = _GRANT
    environment = ActivityEnvironment()
    for attempt in (1, 2):
        environment.info = replace(
            environment.info,
            attempt=attempt,
            workflow_id=RUN_ID,
            workflow_run_id=TEMPORAL_RUN_ID,
        )
        answer = await environment.run(capacity.reserve_capacity, REQUEST)
        assert answer == CapacityAnswer(granted=True)
    await environment.run(capacity.release_capacity, RELEASE)
    parents = [request.headers["traceparent"] for request in server.requests]
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent) for parent in parents)
    assert {parent.split("-")[1] for parent in parents} == {trace_id(RUN_ID, TEMPORAL_RUN_ID)}
    assert len(set(parents[:2])) == 2
    assert len({request.headers["idempotency-key"] for request in server.requests[:2]}) == 1


async def test_without_a_service_everything_is_granted(client: httpx.AsyncClient) -> None:
    """Nothing configured is nothing to wait for."""
    capacity = CapacityActivities(client, None, 5.0)
    assert await capacity.reserve(REQUEST, PARENT) == CapacityAnswer(granted=True)
    await capacity.release(RELEASE, PARENT)


_LATER = timedelta(seconds=7)


@pytest.mark.parametrize(
    ("said", "headers", "wait"),
    [
        ({}, {}, None),
        ({"retry_after": None}, {}, None),
        ({"retry_after": 7}, {}, _LATER),
        ({"retry_after": 0.5}, {}, timedelta(seconds=0.5)),
        ({"retry_after": 86_401}, {}, LONGEST_WAIT),
        ({"retry_after": 10**400}, {}, LONGEST_WAIT),
        ({"retry_after": 1e300}, {}, LONGEST_WAIT),
        ({}, {"retry_after": "7"}, _LATER),
        ({}, {"retry_after": "9" * 9}, LONGEST_WAIT),
        ({}, {"retry_after": "soon"}, None),
        ({"retry_after": 7}, {"retry_after": "90"}, _LATER),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_no_says_why_and_when_to_ask_again(
    capacity: CapacityActivities,
    server: RawServer,
    said: dict[str, Any],
    headers: dict[str, str],
    wait: timedelta | None,
) -> None:
    """The body's `retry_after` comes before the header, and neither is more than a day."""
    document = {"granted": False, "reason": "gpu: 3 of 4 in use", "new_field": 1} | said
    server.answer = http("200 OK", json.dumps(document).encode(), **headers)
    answer = await capacity.reserve(REQUEST, PARENT)
    assert answer == CapacityAnswer(granted=False, reason="gpu: 3 of 4 in use", retry_after=wait)


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("300", 300), ("301", 300), ("0", None), ("soon", None)]
)
async def test_retry_after_of_a_failure_is_honoured_within_five_minutes(
    capacity: CapacityActivities, server: RawServer, status: str, value: str, seconds: int | None
) -> None:
    """A service in trouble says when to come back; nonsense leaves the policy's own back-off."""
    error = await failed(capacity, server, http(status, retry_after=value))
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert error.next_retry_delay == expected


async def test_what_was_never_reserved_is_released(
    capacity: CapacityActivities, server: RawServer
) -> None:
    """A 404 is what a release wants; for a reservation it is a refusal."""
    server.answer = http("404 Not Found")
    await capacity.release(RELEASE, PARENT)
    error = await failed(capacity, server, http("404 Not Found"))
    assert (error.type, error.non_retryable) == ("CAPACITY_REFUSED", True)


async def test_a_release_that_was_not_done_is_tried_again(
    capacity: CapacityActivities, server: RawServer
) -> None:
    """A service that keeps the reservation says why and when to come back."""
    answer = ok({"granted": False, "reason": "busy", "retry_after": 7})
    error = await failed(capacity, server, answer, release=True)
    assert (error.type, error.next_retry_delay) == ("CAPACITY_UNAVAILABLE", _LATER)
    assert "busy" in error.message


async def test_a_lost_answer_and_a_retry_are_one_reservation(
    client: httpx.AsyncClient, plugin: SandboxClient, plugin_url: str
) -> None:
    """The service did its work and the answer got lost: asking again finds it done, once."""
    capacity = CapacityActivities(client, plugin_url, 5.0)
    await plugin.configure_capacity(limits={"gpu": 2}, script=["drop", "ok"])
    with pytest.raises(ApplicationError, match="the call to the capacity service broke"):
        await capacity.reserve(REQUEST, PARENT)
    assert (await capacity.reserve(REQUEST, PARENT)).granted
    assert (await plugin.capacity()).in_use == {"gpu": 2, "disk": 0}
    with pytest.raises(ApplicationError, match="the call to the capacity service broke"):
        await capacity.release(RELEASE, PARENT)
    await capacity.release(RELEASE, PARENT)
    assert (await plugin.capacity()).reserved == {}


async def test_what_does_not_fit_is_denied_until_there_is_room(
    client: httpx.AsyncClient, plugin: SandboxClient, plugin_url: str
) -> None:
    """A no names what is short; asked again after a release, the same reservation is granted."""
    capacity = CapacityActivities(client, plugin_url, 5.0)
    await plugin.configure_capacity(limits={"gpu": 3})
    other = REQUEST.model_copy(update={"reservation_id": "another"})
    assert (await capacity.reserve(REQUEST, PARENT)).granted
    denied = await capacity.reserve(other, PARENT)
    assert denied == CapacityAnswer(granted=False, reason="gpu: 2 asked, 2 of 3 in use")
    await capacity.release(RELEASE, PARENT)
    assert (await capacity.reserve(other, PARENT)).granted


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("garbage", "CAPACITY_BAD_ANSWER"),
        ("nan", "CAPACITY_BAD_ANSWER"),
        ("negative", "CAPACITY_BAD_ANSWER"),
        ("error", "CAPACITY_BAD_ANSWER"),
        ("truncate", "CAPACITY_UNAVAILABLE"),
        ("hang", "CAPACITY_UNAVAILABLE"),
        ("503:2", "CAPACITY_UNAVAILABLE"),
        ("418", "CAPACITY_REFUSED"),
    ],
)
async def test_every_fault_of_the_service_is_a_failure(
    client: httpx.AsyncClient, plugin: SandboxClient, plugin_url: str, word: str, code: str
) -> None:
    """Whatever the service answers wrongly, nothing is taken for granted and nothing is held."""
    capacity = CapacityActivities(client, plugin_url, 0.5)
    await plugin.configure_capacity(script=[word])
    with pytest.raises(ApplicationError) as failure:
        await capacity.reserve(REQUEST, PARENT)
    assert failure.value.type == code
    wait = timedelta(seconds=2) if word == "503:2" else None
    assert failure.value.next_retry_delay == wait
    assert (await plugin.capacity()).reserved == {}
