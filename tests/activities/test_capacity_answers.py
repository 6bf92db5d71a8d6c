"""What the capacity service may answer, and that nothing but a whole grant is one."""

import gzip
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from activities.capacity import CapacityActivities
from activities.service import MAX_ANSWER_BYTES
from tests.activities.capacity_calls import failed
from tests.activities.server import Answer, RawServer, drip, http, ok, raw, reset


@pytest.mark.fault(23)
@pytest.mark.parametrize(
    ("status", "code", "final"),
    [
        ("201 Created", "CAPACITY_BAD_ANSWER", False),
        ("202 Accepted", "CAPACITY_BAD_ANSWER", False),
        ("302 Found", "CAPACITY_BAD_ANSWER", False),
        ("308 Permanent Redirect", "CAPACITY_BAD_ANSWER", False),
        ("400 Bad Request", "CAPACITY_REFUSED", True),
        ("401 Unauthorized", "CAPACITY_REFUSED", True),
        ("409 Conflict", "CAPACITY_REFUSED", True),
        ("422 Unprocessable Content", "CAPACITY_REFUSED", True),
        ("408 Request Timeout", "CAPACITY_UNAVAILABLE", False),
        ("425 Too Early", "CAPACITY_UNAVAILABLE", False),
        ("429 Too Many Requests", "CAPACITY_UNAVAILABLE", False),
        ("500 Internal Server Error", "CAPACITY_UNAVAILABLE", False),
        ("503 Service Unavailable", "CAPACITY_UNAVAILABLE", False),
    ],
)
@pytest.mark.parametrize("release", [False, True])
async def test_only_a_200_is_an_answer(
    capacity: CapacityActivities,
    server: RawServer,
    status: str,
    code: str,
    *,
    final: bool,
    release: bool,
) -> None:
    """A body that grants beside another status changes nothing, and redirects lead nowhere."""
    elsewhere = f"{server.url}/elsewhere"
    answer = http(status, b'{"granted": true}', location=elsewhere)
    error = await failed(capacity, server, answer, release=release)
    assert (error.type, error.non_retryable) == (code, final)
    assert status in error.message
    assert len(server.requests) == 1


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
_NOT_THE_CONTRACT = {
    **dict.fromkeys(["", "null", "[]", "true", '"granted"', "<html></html>", "{'granted': 1}"], ""),
    "{}": "granted: is required",
    '{"granted": true': "not valid JSON",
    '{"granted": null}': "granted: must be true or false",
    '{"granted": "true"}': "granted: must be true or false",
    '{"granted": 1}': "granted: must be true or false",
    '{"granted": true} {"granted": true}': "not valid JSON",
    '{"granted": false, "granted": true}': "stands twice",
    '{"granted": true, "retry_after": NaN}': "nan is not a JSON number",
    '{"granted": true, "retry_after": Infinity}': "inf is not a JSON number",
    '{"granted": true, "retry_after": 1e999}': "inf is not a JSON number",
    '{"granted": true, "retry_after": -1}': "retry_after: must be a number of seconds",
    '{"granted": false, "retry_after": "5"}': "retry_after: must be a number of seconds",
    '{"granted": false, "retry_after": true}': "retry_after: must be a number of seconds",
    '{"granted": true, "reason": 7}': "reason: must be text",
    '{"granted": true, "reason": "\\ud800"}': "lone surrogate",
    '{"error": "out of order"}': "an error where an answer was due",
    '{"granted": true, "error": {"code": "X"}}': "an error where an answer was due",
    '{"type": "about:blank", "title": "No", "status": 503}': "an error where an answer was due",
    '{"granted": true, "x": %s' % ("[" * 60_000): "nested deeper",
}


@pytest.mark.fault(23)
@pytest.mark.parametrize("release", [False, True])
@pytest.mark.parametrize(
    ("body", "words"), _NOT_THE_CONTRACT.items(), ids=lambda text: text[:45] or "empty"
)
async def test_a_200_that_is_not_the_contract_is_no_grant(
    capacity: CapacityActivities, server: RawServer, body: str, words: str, *, release: bool
) -> None:
    """Broken, foreign or contradictory JSON is a failure that says what was wrong with it."""
    error = await failed(capacity, server, ok(body), release=release)
    assert (error.type, error.non_retryable) == ("CAPACITY_BAD_ANSWER", False)
    assert words in error.message
    assert len(error.message) < 400


async def test_an_answer_larger_than_the_limit_is_not_read_on(
    capacity: CapacityActivities, server: RawServer
) -> None:
    """The limit holds for what comes and for what unpacks."""
    big = b'{"granted": true, "x": "' + b"x" * MAX_ANSWER_BYTES + b'"}'
    packed = http("200 OK", gzip.compress(big), content_encoding="gzip")
    for answer in (http("200 OK", big), raw(_HEAD + b"\r\n" + big), packed):
        error = await failed(capacity, server, answer)
        assert (error.type, error.non_retryable) == ("CAPACITY_BAD_ANSWER", False)
        assert "larger than" in error.message


@pytest.mark.fault(23)
@pytest.mark.parametrize(
    "answer",
    [
        raw(b""),
        raw(_HEAD + b'content-length: 100\r\n\r\n{"granted": true}'),
        raw(_HEAD + b'transfer-encoding: chunked\r\n\r\n11\r\n{"granted": true}\r\n'),
        raw(_HEAD + b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope"),
        reset(),
        reset(_HEAD + b'content-length: 100\r\n\r\n{"granted": true}'),
    ],
    ids=["close", "short", "no-end", "gzip", "rst", "mid"],
)
async def test_a_connection_that_breaks_is_no_grant(
    capacity: CapacityActivities, server: RawServer, answer: Answer
) -> None:
    """However the answer is cut off, even behind a whole grant, it is to be asked again."""
    error = await failed(capacity, server, answer)
    assert (error.type, error.non_retryable) == ("CAPACITY_UNAVAILABLE", False)
    assert "the call to the capacity service broke: " in error.message


@pytest.mark.parametrize("data", [_HEAD[:12], _HEAD, _HEAD + b'\r\n{"granted": true}'])
async def test_an_answer_that_drips_meets_the_deadline(
    client: httpx.AsyncClient, server: RawServer, data: bytes
) -> None:
    """The timeout is for the whole answer: a byte now and then does not extend it."""
    capacity = CapacityActivities(client, server.url, 0.3)
    before = datetime.now(UTC)
    error = await failed(capacity, server, drip(data))
    assert (error.type, error.non_retryable) == ("CAPACITY_UNAVAILABLE", False)
    assert datetime.now(UTC) - before < timedelta(seconds=2)
    assert "0.3 s" in error.message
