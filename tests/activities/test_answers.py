"""What a plugin runtime may answer, and what becomes of the attempt."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from activities.answers import MAX_ANSWER_BYTES, MAX_RESULT_BYTES
from domain.recovery import LONGEST_RETRY_AFTER
from domain.states import RunState
from tests.activities.conftest import Caller
from tests.activities.server import Answer, drip, http, ok, raw, reset


@pytest.mark.parametrize(
    "result", [None, 0, "", [], {"rows": [1, 2.5, {"a": None}]}, "\u00fc\U0001f600"]
)
async def test_a_success_gives_its_result(caller: Caller, result: object) -> None:
    """Any JSON value is a result, an absent one is null, and unknown fields are passed over."""
    answer = await caller.call(ok({"status": "SUCCESS", "result": result, "new_field": 1}))
    assert (answer.status, answer.result) == (RunState.SUCCESS, result)


async def test_a_compressed_success_is_read(caller: Caller) -> None:
    """A runtime may compress what it says."""
    body = gzip.compress(json.dumps({"status": "SUCCESS", "result": 7}).encode())
    assert (await caller.call(http("200 OK", body, content_encoding="gzip"))).result == 7


@pytest.mark.parametrize(
    ("said", "code", "message", "retryable"),
    [
        ({}, "PLUGIN_FAILED", "gave no message", True),
        ({"error_code": "BUSY", "message": "later"}, "BUSY", "later", True),
        ({"error_code": "BAD", "message": "no", "retryable": False}, "BAD", "no", False),
        ({"error_code": "", "message": ""}, "PLUGIN_FAILED", "gave no message", True),
        ({"error_code": None, "retryable": True}, "PLUGIN_FAILED", "gave no message", True),
    ],
)
async def test_a_plugin_that_failed_is_taken_at_its_word(
    caller: Caller, said: dict[str, object], code: str, message: str, *, retryable: bool
) -> None:
    """The code, the sentence and whether to try again are the plugin's."""
    caller.attempt(3)
    error = await caller.failed(ok({"status": "FAILED"} | said))
    assert (error.type, error.non_retryable) == (code, not retryable)
    assert message in error.message
    assert error.details == ({"attempt": 3},)
    assert error.next_retry_delay is None


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        ("201 Created", "PLUGIN_REFUSED", False),
        ("204 No Content", "PLUGIN_REFUSED", False),
        ("301 Moved Permanently", "PLUGIN_REFUSED", False),
        ("400 Bad Request", "PLUGIN_REFUSED", False),
        ("401 Unauthorized", "PLUGIN_REFUSED", False),
        ("404 Not Found", "PLUGIN_REFUSED", False),
        ("409 Conflict", "PLUGIN_REFUSED", False),
        ("422 Unprocessable Content", "PLUGIN_REFUSED", False),
        ("408 Request Timeout", "PLUGIN_UNAVAILABLE", True),
        ("425 Too Early", "PLUGIN_UNAVAILABLE", True),
        ("429 Too Many Requests", "PLUGIN_THROTTLED", True),
        ("500 Internal Server Error", "PLUGIN_UNAVAILABLE", True),
        ("502 Bad Gateway", "PLUGIN_UNAVAILABLE", True),
        ("503 Service Unavailable", "PLUGIN_UNAVAILABLE", True),
        ("599 Whatever", "PLUGIN_UNAVAILABLE", True),
    ],
)
async def test_a_status_decides_whether_to_try_again(
    caller: Caller, status: str, code: str, *, retryable: bool
) -> None:
    """Only a 200 finishes; a body that claims SUCCESS beside another status changes nothing."""
    body = b"" if status.startswith("204") else b'{"status": "SUCCESS"}'
    error = await caller.failed(http(status, body))
    assert (error.type, error.non_retryable) == (code, not retryable)
    assert status[:3] in error.message


_RETRYABLE = ["408 Request Timeout", "425 Too Early", "429 Too Many Requests", "503 Unavailable"]


@pytest.mark.fault(15)
@pytest.mark.parametrize("status", _RETRYABLE)
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("007", 7),
        ("3600", 3600),
        ("3601", 3600),
        ("9" * 400, 3600),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("0", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("\u00b2", None),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
        ("Mon, 23 Nov 2026 02:00:00 +9999", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
    ],
)
async def test_retry_after_is_honoured_within_an_hour(
    caller: Caller, status: str, value: str, seconds: int | None
) -> None:
    """Seconds or a date; nonsense and the past leave the task's own back-off in place."""
    error = await caller.failed(http(status, retry_after=value))
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert error.next_retry_delay == expected
    assert not error.non_retryable


@pytest.mark.parametrize("zone", [True, False])
async def test_retry_after_as_a_date_counts_from_now(caller: Caller, *, zone: bool) -> None:
    """An HTTP date is the time to wait for, also when it forgets to say GMT."""
    at = datetime.now(UTC) + timedelta(seconds=90)
    text = format_datetime(at, usegmt=True)
    error = await caller.failed(http("429 No", retry_after=text if zone else text[:-4]))
    assert error.next_retry_delay is not None
    assert timedelta(seconds=85) < error.next_retry_delay <= timedelta(seconds=91)
    assert error.next_retry_delay < LONGEST_RETRY_AFTER


async def test_retry_after_of_a_final_refusal_is_passed_over(caller: Caller) -> None:
    """What is not retried has no next time."""
    error = await caller.failed(http("404 Not Found", retry_after="5"))
    assert (error.next_retry_delay, error.non_retryable) == (None, True)


_DEEP = "[" * 100_000
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    "body",
    [
        *("", "null", "[]", "{}", '"SUCCESS"', "SUCCESS", "<html></html>"),
        *('{"status": "success"}', '{"status": null}', '{"status": "SUCCESS"', "{'status': 1}"),
        '{"status": "SUCCESS", "result": NaN}',
        '{"status": "SUCCESS", "result": Infinity}',
        '{"status": "SUCCESS", "result": [NaN' + ", NaN" * 10_000 + "]}",
        '{"status": "SUCCESS", "result": 1e999}',
        '{"status": "SUCCESS", "result": "\\u0000"}',
        '{"status": "SUCCESS", "result": "\\ud800"}',
        '{"status": "SUCCESS", "status": "FAILED"}',
        '{"status": "SUCCESS", "result": %s}' % ("9" * 5000),
        '{"status": "SUCCESS"} {"status": "SUCCESS"}',
        '{"status": "SUCCESS", "result": ' + _DEEP,
        '{"status": "FAILED", "error_code": 7}',
        '{"status": "FAILED", "retryable": "perhaps"}',
        '{"status": "FAILED", "error_code": "%s"}' % ("X" * 129),
    ],
    ids=lambda body: body[:40],
)
async def test_a_200_that_is_not_the_contract_is_no_success(caller: Caller, body: str) -> None:
    """Broken or foreign JSON fails the attempt, and another one may do better."""
    error = await caller.failed(ok(body))
    assert (error.type, error.non_retryable) == ("PLUGIN_BAD_ANSWER", False)
    assert len(error.message) < 1000


async def test_bytes_that_are_no_text_are_no_success(caller: Caller) -> None:
    """A body in no encoding at all is refused."""
    error = await caller.failed(http("200 OK", b'{"status": "\xff\xfe"}'))
    assert error.type == "PLUGIN_BAD_ANSWER"


async def test_an_answer_larger_than_the_limit_is_not_read_on(caller: Caller) -> None:
    """The limit holds for what is promised, for what merely comes, and for what unpacks."""
    big = b'{"status": "SUCCESS", "result": "' + b"x" * MAX_ANSWER_BYTES + b'"}'
    packed = http("200 OK", gzip.compress(big), content_encoding="gzip")
    for answer in (http("200 OK", big), raw(_HEAD + b"\r\n" + big), packed):
        error = await caller.failed(answer)
        assert (error.type, error.non_retryable) == ("PLUGIN_BAD_ANSWER", False)
        assert "larger than" in error.message


async def test_a_result_that_temporal_should_not_keep_is_refused(caller: Caller) -> None:
    """A second attempt would give as much: the failure is final and says what to do."""
    error = await caller.failed(ok({"status": "SUCCESS", "result": "x" * MAX_RESULT_BYTES}))
    assert (error.type, error.non_retryable) == ("PLUGIN_BAD_ANSWER", True)
    assert "give back a reference" in error.message
    await caller.call(ok({"status": "SUCCESS", "result": "x" * (MAX_RESULT_BYTES - 2)}))


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    "answer",
    [
        raw(b""),
        raw(b"HTTP/1.1 200 OK\r\n"),
        raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        raw(_HEAD + b'content-length: 100\r\n\r\n{"status": "SUCCESS"}'),
        raw(_HEAD + b'transfer-encoding: chunked\r\n\r\n15\r\n{"status": "SUCCESS"}\r\n'),
        raw(_HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n"),
        raw(_HEAD + b"content-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope"),
        raw(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000 + b"\r\n\r\n"),
        reset(),
        reset(_HEAD + b'content-length: 100\r\n\r\n{"status": "SUCCESS"}'),
    ],
    ids=[
        "close",
        "half-head",
        "not-http",
        "short",
        "no-end",
        "chunk",
        "gzip",
        "head",
        "rst",
        "mid",
    ],
)
async def test_a_connection_that_breaks_is_no_success(caller: Caller, answer: Answer) -> None:
    """However the answer is cut off, even behind a whole SUCCESS, the attempt is tried again."""
    error = await caller.failed(answer)
    assert (error.type, error.non_retryable) == ("PLUGIN_UNAVAILABLE", False)
    assert "the call to the plugin broke: " in error.message


@pytest.mark.fault(13)
@pytest.mark.parametrize("data", [_HEAD[:12], _HEAD, _HEAD + b'\r\n{"status": "SUCCESS"}'])
async def test_an_answer_that_drips_meets_the_deadline(caller: Caller, data: bytes) -> None:
    """The timeout is for the whole answer: a byte now and then does not extend it."""
    before = datetime.now(UTC)
    error = await caller.failed(drip(data), timeout=timedelta(milliseconds=400))
    assert (error.type, error.non_retryable) == ("PLUGIN_TIMEOUT", False)
    assert timedelta(milliseconds=350) < datetime.now(UTC) - before < timedelta(seconds=2)
    assert "0.4 s" in error.message
