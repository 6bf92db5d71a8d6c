"""Sinks for events: each event is listed once, and only from who has the secret."""

import asyncio
import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.client import SandboxClient, SandboxError
from tests.sandbox.harness import code_of, running

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
ONE, MANY = "application/cloudevents+json", "application/cloudevents-batch+json"


def event(event_id: str = "1", **changes: Any) -> dict[str, Any]:
    """A whole event, with changes."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/taskflow/acme",
        "type": "task.execution.updated",
        "time": "2026-11-23T02:00:00.125Z",
        "datacontenttype": "application/json",
        "data": {"status": "RUNNING", "attempt": 1, "share": 0.5, "why": None},
    } | changes


def signature(key: bytes, message: str, at: int, content: bytes) -> str:
    """One signature of Standard Webhooks."""
    digest = hmac.digest(key, f"{message}.{at}.".encode() + content, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def call(
    events: object, message: str = "msg_1", *, sink: str = "audit", late: int = 0, **changes: str
) -> dict[str, Any]:
    """The arguments of httpx for a signed request; a list is a batch. `late` in seconds."""
    content, at = json.dumps(events).encode(), int(time.time()) - late
    headers = {
        "content-type": MANY if isinstance(events, list) else ONE,
        "webhook-id": message,
        "webhook-timestamp": str(at),
        "webhook-signature": signature(KEY, message, at, content),
    }
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    return {"url": f"/events/{sink}", "content": content, "headers": headers | changed}


async def send(http: httpx.AsyncClient, events: object, message: str = "msg_1") -> None:
    """Send events to the sink `audit`, which takes them."""
    answer = await http.post(**call(events, message))
    assert (answer.status_code, answer.content) == (204, b"")


async def test_events_are_listed_as_they_were_sent_by_arrival(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """One or many in a request, nothing of them is lost or changed; sinks keep apart."""
    sent = [
        event("1", data={"rows": [1, 2.5, None, "ü"]}),
        event("2", subject="run/a", traceparent="00-1"),
        event("3", data_base64="AAA=") | {"data": 0},
    ]
    del sent[2]["data"]
    await send(http, sent[0], "msg_1")
    await send(http, sent[1:], "msg_2")
    await send(http, [], "msg_3")
    found = await sandbox.sink("audit")
    assert (found.events, found.requests, found.repeats) == (sent, 3, 0)
    assert (await sandbox.sink("another")).requests == 0


async def test_an_event_that_comes_again_is_a_repeat(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """Source and id together say which it is, within a batch and across requests."""
    await send(http, [event("1"), event("1", type="late"), event("1", source="/other")], "a")
    await asyncio.gather(*(send(http, [event("1"), event("2")], f"b{n}") for n in range(20)))
    found = await sandbox.sink("audit")
    assert [(e["source"], e["id"]) for e in found.events] == [
        ("/taskflow/acme", "1"),
        ("/other", "1"),
        ("/taskflow/acme", "2"),
    ]
    assert found.events[0]["type"] == "task.execution.updated"
    assert (found.requests, found.repeats) == (21, 1 + 20 + 19)


async def test_a_right_signature_is_taken(sandbox: SandboxClient, http: httpx.AsyncClient) -> None:
    """Also late by less than five minutes, or among several while a secret is changed."""
    await sandbox.configure_sink("audit", secret=SECRET)
    await send(http, event("1"))
    assert (await http.post(**call(event("2"), late=280))).status_code == 204
    assert (await http.post(**call(event("3"), late=-280))).status_code == 204
    several = call(event("4"))
    wrong = signature(OTHER_KEY, "msg_1", int(time.time()), several["content"])
    several["headers"]["webhook-signature"] = (
        f"v2,x {wrong} {several['headers']['webhook-signature']}"
    )
    assert (await http.post(**several)).status_code == 204
    assert [e["id"] for e in (await sandbox.sink("audit")).events] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_signature": "v1,AAAA"},
        {"webhook_signature": "v1,"},
        {"webhook_signature": ""},
        {"webhook_id": "msg_2"},
        {"webhook_id": ""},
        {"webhook_timestamp": "1795399200"},
        {"webhook_timestamp": "soon"},
        {"webhook_timestamp": "-1"},
        {"late": 320},
        {"late": -320},
    ],
    ids=str,
)
async def test_a_request_that_is_not_signed_rightly_is_refused(
    sandbox: SandboxClient, http: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    """Each part that is signed counts; what is refused is no request and no event."""
    await sandbox.configure_sink("audit", secret=SECRET, script=["503"])
    answer = await http.post(**call(event(), **changes))
    assert (answer.status_code, code_of(answer)) == (401, "BAD_SIGNATURE")
    found = await sandbox.sink("audit")
    assert (found.events, found.requests) == ([], 0)


async def test_a_changed_body_or_another_secret_is_refused(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """The signature is of the very bytes, blanks included, and of the secret as it is now."""
    await sandbox.configure_sink("audit", secret=SECRET)
    signed = call(event())
    answer = await http.post(**signed | {"content": signed["content"] + b" "})
    assert (answer.status_code, code_of(answer)) == (401, "BAD_SIGNATURE")
    assert (await http.post(**signed)).status_code == 204
    other = f"whsec_{base64.b64encode(OTHER_KEY).decode()}"
    await sandbox.configure_sink("audit", secret=other)
    assert (await http.post(**signed)).status_code == 401


async def test_without_a_secret_no_signature_is_needed(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """A secret can be taken away again; the script then follows the first event."""
    await sandbox.configure_sink("audit", secret=SECRET)
    await sandbox.configure_sink("audit", script=["503", "ok"])
    headers = {"content-type": f"{ONE}; charset=utf-8"}
    for name, status in [("1", 503), ("2", 503), ("1", 204), ("2", 204)]:
        answer = await http.post("/events/audit", content=json.dumps(event(name)), headers=headers)
        assert answer.status_code == status
    assert [e["id"] for e in (await sandbox.sink("audit")).events] == ["1", "2"]


@pytest.mark.parametrize(
    ("word", "error", "taken"),
    [
        ("drop", httpx.RemoteProtocolError, 1),
        ("truncate", httpx.RemoteProtocolError, 0),
        ("reset", httpx.ReadError, 0),
        ("hang", httpx.ReadTimeout, 0),
    ],
)
async def test_an_answer_may_get_lost(
    sandbox: SandboxClient,
    http: httpx.AsyncClient,
    word: str,
    error: type[httpx.TransportError],
    taken: int,
) -> None:
    """The caller knows nothing, and only after `drop` is the event there; sent again it is one."""
    await sandbox.configure_sink("audit", script=[word, "ok"])
    with pytest.raises(error):
        await http.post(**call(event()), timeout=0.3)
    assert len((await sandbox.sink("audit")).events) == taken
    await send(http, event())
    found = await sandbox.sink("audit")
    assert (found.events, found.requests, found.repeats) == ([event()], 2, taken)


async def test_every_message_walks_the_script(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """A status is a problem and nothing is taken; the last word repeats."""
    await sandbox.configure_sink("audit", script=["429:2", "garbage", "ok"], latency=0.01)
    for message in ("msg_1", "msg_2"):
        refused = await http.post(**call(event(message), message))
        assert (refused.status_code, code_of(refused)) == (429, "SCRIPTED_429")
        assert refused.headers["retry-after"] == "2"
        assert "<html>" in (await http.post(**call(event(message), message))).text
        for _ in range(2):
            await send(http, event(message), message)
    found = await sandbox.sink("audit")
    assert ([e["id"] for e in found.events], found.requests) == (["msg_1", "msg_2"], 8)


async def test_events_are_known_after_kill_9(tmp_path: Path) -> None:
    """A killed sandbox knows every event, counts on, and goes on in the script."""
    log = tmp_path / "log.jsonl"
    with running(log) as first:
        async with first.clients() as (control, http):
            await send(http, event("forgotten"))
            await control.reset()
            await control.configure_sink("audit", script=["503", "ok"])
            await http.post(**call(event("1")))
            await send(http, [event("1"), event("2")])
            before = await control.sink("audit")
        first.kill()
    last = first.lines()[-1]
    assert last == {
        "event": "events",
        "sink": "audit",
        "message": "msg_1",
        "events": [event("1"), event("2")],
        "taken": True,
        "outcome": "ok",
        "at": last["at"],
    }
    with running(log) as second:
        async with second.clients() as (control, http):
            assert await control.sink("audit") == before
            await control.configure_sink("audit", script=["503", "503", "ok"])
            await send(http, [event("2"), event("3")])
            found = await control.sink("audit")
    assert [e["id"] for e in found.events] == ["1", "2", "3"]
    assert (found.requests, found.repeats) == (3, 1)


async def test_reset_forgets_events_and_secrets(
    sandbox: SandboxClient, http: httpx.AsyncClient
) -> None:
    """After a reset nothing came, and whatever comes is taken."""
    await sandbox.configure_sink("audit", secret=SECRET, script=["503"])
    await http.post(**call(event()))
    await sandbox.reset()
    found = await sandbox.sink("audit")
    assert (found.events, found.requests, found.repeats) == ([], 0, 0)
    unsigned = call(event(), webhook_signature="")
    assert (await http.post(**unsigned)).status_code == 204


async def test_a_request_that_waits_is_cut_at_the_end(tmp_path: Path) -> None:
    """Neither latency nor a word that hangs holds up the end of the process."""
    with running(tmp_path / "log.jsonl") as sandbox:
        async with sandbox.clients() as (control, http):
            await control.configure_sink("stuck", script=["hang"])
            await control.configure_sink("late", latency=60)
            calls = [
                asyncio.create_task(http.post(**call(event(), sink=sink)))
                for sink in ("stuck", "late")
            ]
            async with asyncio.timeout(5):
                while True:
                    if (await control.sink("stuck")).requests:
                        break
                    await asyncio.sleep(0.02)
            assert await asyncio.to_thread(sandbox.stop) == (0, "")
            ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, httpx.TransportError) for end in ends), ends
    assert [line["sink"] for line in sandbox.lines()] == ["stuck"]


@pytest.mark.parametrize(
    "events",
    [
        event(specversion="0.3"),
        event(specversion=1.0),
        event(id=""),
        event(id=7),
        event(source=None),
        event(type=""),
        event(time="2026-11-23T02:00:00"),
        event(run_id="run/a"),
        event(data_base64="AAA="),
        event(data=float("nan")),
        {"id": "1"},
        [event("1"), {"id": "2"}],
        [[]],
        None,
        "event",
    ],
    ids=lambda events: str(events)[-40:],
)
async def test_what_is_no_event_is_refused(
    sandbox: SandboxClient, http: httpx.AsyncClient, events: object
) -> None:
    """A request is taken whole or not at all."""
    answer = await http.post(**call(events))
    assert (answer.status_code, code_of(answer)) == (400, "INVALID_EVENT")
    assert (await sandbox.sink("audit")).requests == 0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_what_is_no_json_is_refused(http: httpx.AsyncClient, content: bytes) -> None:
    """What cannot be read is a 400, never a 500."""
    answer = await http.post(**call([]) | {"content": content})
    assert (answer.status_code, code_of(answer)) == (400, "INVALID_EVENT")


@pytest.mark.parametrize("content_type", ["application/json", "", "text/plain; a=" + ONE])
async def test_another_content_type_is_refused(http: httpx.AsyncClient, content_type: str) -> None:
    """Only the JSON formats of CloudEvents are read; a batch is none by its looks."""
    answer = await http.post(**call(event(), content_type=content_type))
    assert (answer.status_code, code_of(answer)) == (415, "NO_CLOUD_EVENT")
    for events, said in [([event()], ONE), (event(), MANY)]:
        swapped = await http.post(**call(events, content_type=said))
        assert (swapped.status_code, code_of(swapped)) == (400, "INVALID_EVENT")


async def test_a_bad_name_is_not_found(http: httpx.AsyncClient) -> None:
    """Names of sinks are written as ids of plugins are."""
    answer = await http.post(**call(event(), sink="A"))
    assert (answer.status_code, code_of(answer)) == (404, "NO_SUCH_SINK")


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        ({"script": ["mabye"]}, "'mabye' is no answer"),
        ({"secret": "secret"}, "a secret is whsec_ and base64"),
        ({"secret": "whsec_"}, "a secret is whsec_ and base64"),
        ({"secret": "whsec_%%"}, "a secret is whsec_ and base64"),
        ({"latency": -1}, "greater than or equal to 0"),
    ],
    ids=str,
)
async def test_knobs_that_make_no_sense_are_refused(
    sandbox: SandboxClient, knobs: dict[str, Any], reason: str
) -> None:
    """A typo fails the test that made it, in words."""
    with pytest.raises(SandboxError, match=reason):
        await sandbox.configure_sink("audit", **knobs)
