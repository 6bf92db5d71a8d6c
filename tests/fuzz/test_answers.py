"""Answers of plugins and services, spoiled: a success only when it is one, else a code.

They come over a real connection, as bytes: head, body, lengths and encodings are spoiled too.
"""

import gzip
import json
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.exceptions import ApplicationError

from activities.answers import (
    MAX_RESULT_BYTES,
    Accepted,
    Failure,
    Finished,
    read_answer,
    retry_after,
)
from activities.capacity import CapacityActivities
from domain.capacity import CapacityRelease, CapacityRequest
from domain.masking import NOTHING, Mask
from tests.activities.server import RawServer, raw, raw_server
from tests.fuzz.effort import effort, is_told, within
from tests.fuzz.texts import ODD_VALUES, spoiled, spoiled_bytes, warped
from worker.main import http_client

_NOW = datetime(2026, 11, 23, 2, tzinfo=UTC)
_SECRETS = Mask({"key": "hunter2-hunter2"})
_CODES = {"PLUGIN_BAD_ANSWER", "PLUGIN_THROTTLED", "PLUGIN_UNAVAILABLE", "PLUGIN_REFUSED"}

_RESULTS = st.one_of(
    ODD_VALUES, st.sampled_from(({"rows": [1, 2.5]}, "hunter2-hunter2", "x" * MAX_RESULT_BYTES))
)
_ANSWERS = st.one_of(
    st.fixed_dictionaries({"status": st.just("SUCCESS")}, optional={"result": _RESULTS}),
    st.fixed_dictionaries(
        {"status": st.sampled_from(("FAILED", "SUCCESS", "success", "DONE"))},
        optional={
            "error_code": st.sampled_from(("BUSY", "", "a sentence", "X" * 129, "hunter2-hunter2")),
            "message": st.sampled_from(("no", "", "\u00fc\n", "x" * 4001)),
            "retryable": st.sampled_from((True, False, "perhaps", None)),
            "result": _RESULTS,
        },
    ),
)
_WORDS = ('"status":"SUCCESS"', "NaN", "-Infinity", '"result":', "\\ud800", "{", "}", "9" * 5000)
_BODIES = spoiled_bytes(warped(_ANSWERS).map(json.dumps), _WORDS)
_STATUSES = st.sampled_from(
    (
        *(*("200 OK",) * 6, "202 Accepted", "204 No Content", "301 Moved", "400 Bad", "404 No"),
        *(
            "408 Timeout",
            "425 Early",
            "429 Slow down",
            "500 Error",
            "503 \u00fc",
            "599 X",
            "099 No",
        ),
    )
)
_WAITS = spoiled(
    st.sampled_from(
        ("7", "3600", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 23 Nov 2026 02:00:00 +9999")
    )
)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[RawServer]:
    """Says whatever it is told to."""
    async with raw_server() as served:
        yield served


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The product's own."""
    async with http_client() as made:
        yield made


@st.composite
def _wires(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """A whole answer as it goes over the wire, right as a rule."""
    body = draw(bodies)
    packed = draw(st.integers(0, 5)) == 0
    if packed:
        body = gzip.compress(body)
    head = [f"HTTP/1.1 {draw(_STATUSES)}".encode(), b"content-type: application/json"]
    head += [b"content-encoding: gzip"] * packed
    length = len(body) + draw(st.sampled_from((0,) * 8 + (1, -1, 10**9)))
    match draw(st.sampled_from(("length",) * 6 + ("none", "chunked"))):
        case "length":
            head.append(f"content-length: {length}".encode())
        case "chunked":
            head.append(b"transfer-encoding: chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (length, body)
    if draw(st.booleans()):
        head.append(b"retry-after: " + draw(_WAITS).encode("utf-8", "replace"))
    wire = b"\r\n".join(head) + b"\r\n\r\n" + body
    if draw(st.integers(0, 5)) == 0:
        wire = wire[: draw(st.integers(0, len(wire)))]
    return wire


def _whole(wire: bytes) -> Any:
    """What a 200 says that came whole and plain; None when its body is no JSON object."""
    _, _, body = wire.partition(b"\r\n\r\n")
    try:
        found = json.loads(gzip.decompress(body) if b"content-encoding: gzip" in wire else body)
    except (ValueError, EOFError, OSError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_json(value: Any) -> bool:
    match value:
        case dict():
            return all(_is_json(key) and _is_json(item) for key, item in value.items())
        case list():
            return all(map(_is_json, value))
        case float():
            return math.isfinite(value)
        case str():
            return "\0" not in value and value.encode("utf-8", "replace").decode() == value
    return True


@effort(36)
@given(wire=_wires(_BODIES), masked=st.booleans())
async def test_only_a_whole_success_is_one(
    server: RawServer, client: httpx.AsyncClient, wire: bytes, *, masked: bool
) -> None:
    """Everything else is accepted work, a broken connection, or a failure with a code to go by."""
    server.answer = raw(wire)
    try:
        async with client.stream("POST", server.url, json={}, timeout=5) as response:
            with within(5):
                found = await read_answer(response, now=_NOW, mask=_SECRETS if masked else NOTHING)
    except httpx.HTTPError:
        return
    if isinstance(found, Accepted):
        assert response.status_code == 202
        return
    if isinstance(found, Failure):
        assert found.code in _CODES or 0 < len(found.code) <= 128
        assert found.message
        assert found.retry_after is None or found.retry_after > timedelta(0)
        f"{found.code}{found.message}".encode()
        assert "hunter2" not in found.message or not masked
        return
    assert isinstance(found, Finished)
    assert response.status_code == 200
    assert _is_json(found.result)
    assert len(json.dumps(found.result)) <= MAX_RESULT_BYTES
    if b"transfer-encoding" not in wire:
        said = _whole(wire)
        assert said is not None
        assert said["status"] == "SUCCESS"
    assert "hunter2" not in json.dumps(found.result) or not masked


@effort(90)
@given(value=_WAITS)
def test_a_wait_is_positive_or_none(value: str) -> None:
    """Whatever a header says about when to come again."""
    with within(1):
        found = retry_after(value, _NOW)
    assert found is None or found > timedelta(0)


_GRANTS = st.fixed_dictionaries(
    {"granted": st.sampled_from((True, True, False, "true", 1, None))},
    optional={
        "reason": st.sampled_from(("full", "", None, "x" * 4001)),
        "retry_after": st.sampled_from((5, 0.5, -1, 1e308, 10**400, True, "5", None)),
        "error": st.sampled_from(("", "quota", None)),
        "type": st.just("about:blank"),
        "status": st.sampled_from((500, "SUCCESS")),
    },
)
_ASKED = CapacityRequest(
    reservation_id="run/acme/a-2026-11-23T02:00:00Z",
    tenant_id="acme",
    task_id="a",
    resources={"gpu": 1},
    start=_NOW,
    duration=timedelta(minutes=1),
)
_RELEASED = CapacityRelease(reservation_id=_ASKED.reservation_id, tenant_id="acme", task_id="a")
_GRANT_BODIES = spoiled_bytes(warped(_GRANTS).map(json.dumps), ('"granted":true', "NaN", "{}"))


def _is_of_capacity(error: ApplicationError) -> None:
    assert error.type in {f"CAPACITY_{w}" for w in ("UNAVAILABLE", "BAD_ANSWER", "REFUSED")}
    assert error.non_retryable is (error.type == "CAPACITY_REFUSED")


@effort(24)
@given(wire=_wires(_GRANT_BODIES), releases=st.booleans())
async def test_capacity_is_granted_only_by_a_grant(
    server: RawServer, client: httpx.AsyncClient, wire: bytes, *, releases: bool
) -> None:
    """A plain yes, a plain no, or an error with its code: nothing in between is taken for a yes."""
    server.answer = raw(wire)
    capacity = CapacityActivities(client, server.url, 5.0)
    try:
        if releases:
            await capacity.release(_RELEASED, "")
            return
        found = await capacity.reserve(_ASKED, "")
    except ApplicationError as error:
        is_told(error, 5000)
        _is_of_capacity(error)
        return
    assert wire.startswith(b"HTTP/1.1 200")
    if b"transfer-encoding" not in wire:
        said = _whole(wire)
        assert said is not None
        assert said["granted"] is found.granted
        assert not said.get("error")
    assert found.retry_after is None or timedelta(0) <= found.retry_after <= timedelta(days=1)
