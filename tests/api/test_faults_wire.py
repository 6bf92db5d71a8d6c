"""What comes over a real connection and is no request that anybody should send (fault row 27).

The process has no Temporal: whatever gets so far as to ask it would be 503.
"""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import httpx
import pytest

from shared.codec_keys import create_keys
from starter.api.connections import HEAD_SECONDS
from starter.callers import TENANT_SCOPES
from tests.api.outside import Outside, outside
from tests.api.test_problems import problem

PATIENCE = 20.0
JSON = {"Content-Type": "application/json"}
LARGE = 20_000_000
BODIES = {  # none is JSON that can be taken
    "nothing": b"",
    "a hundred thousand levels of lists": b"[" * 100_000,
    "a hundred thousand levels, closed": b"[" * 100_000 + b"]" * 100_000,
    "thirty-three levels": b"[" * 33 + b"]" * 33,
    "levels of objects": b'{"a":' * 40 + b"1" + b"}" * 40,
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "a number that is infinite": b'{"a": 1e999}',
    "NUL": b'{"a": "\\u0000"}',
    "a raw NUL": b'{"a": "\x00"}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a lone surrogate as a key": b'{"\\udfff": 1}',
    "an encoded surrogate": b'{"a": "\xed\xa0\x80"}',
    "duplicate keys": b'{"a": 1, "a": 1}',
    "duplicate keys, one escaped": b'{"a": 1, "\\u0061": 1}',
    "no UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "two documents": b"{} {}",
    "half a document": b'{"a": ',
}
NOT_JSON = [
    *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
    *("application/xml", "application/json; charset=utf-16", "application/jsonx", "*/*"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """One process for all tests here, which it outlives."""
    folder = tmp_path_factory.mktemp("wire")
    create_keys(folder / "keys", "k1")
    known = {"TEMPORAL_ADDRESS": "127.0.0.1:1", "TASKFLOW_TEMPORAL_TIMEOUT": "1"}
    with outside(folder, TASKFLOW_CODEC_KEYS_FILE=str(folder / "keys"), **known) as started:
        yield started
        assert started.is_well()


@pytest.fixture(scope="module")
def http(served: Outside) -> Iterator[httpx.Client]:
    """Somebody who may everything: an admin who speaks for a tenant."""
    headers, tenant = served.caller(None), {"tenant_id": "acme"}
    with httpx.Client(
        base_url=served.url, headers=headers, params=tenant, timeout=PATIENCE, trust_env=False
    ) as client:
        yield client


def _takers(http: httpx.Client) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation of OpenAPI that takes a body."""
    document = http.get("/openapi.json").json()
    found = [
        (method, re.sub(r"{\w+}", "x", path), operation["requestBody"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation
    ]
    assert len(found) >= 8
    return found


@pytest.mark.fault(27)
@pytest.mark.parametrize("what", BODIES)
def test_no_route_takes_what_is_no_strict_json(http: httpx.Client, what: str) -> None:
    """400 on every route that takes a body, whatever kinds of JSON it takes."""
    for method, path, body in _takers(http):
        for media_type in body["content"]:
            headers = {"Content-Type": media_type}
            answer = http.request(method, path, content=BODIES[what], headers=headers)
            status, code = (400, "UNREADABLE_BODY")
            if len(BODIES[what]) > 64 * 1024 and answer.status_code == 413:
                status, code = (413, "BODY_TOO_LARGE")
            problem(answer, status, code)


@pytest.mark.fault(27)
@pytest.mark.parametrize("said", NOT_JSON)
def test_no_route_takes_another_content_type(http: httpx.Client, said: str) -> None:
    """415; and so without any."""
    for method, path, _ in _takers(http):
        for headers in ({"Content-Type": said}, {}):
            answer = http.request(method, path, content=b"{}", headers=headers)
            problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.fault(27)
def test_no_route_reads_twenty_megabytes(http: httpx.Client) -> None:
    """413, whether the length is told or not; and the process has not kept them."""

    def pieces() -> Iterator[bytes]:
        for _ in range(LARGE // 1_000_000):
            yield b" " * 1_000_000

    for method, path, _ in _takers(http):
        for content in (_large(), pieces()):
            answer = http.request(method, path, content=content, headers=JSON)
            problem(answer, 413, "BODY_TOO_LARGE")


@cache
def _large() -> bytes:
    return b" " * LARGE


def _line(served: Outside) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), PATIENCE)


def _said(line: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    answer = b""
    try:
        while piece := line.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def _post(token: dict[str, str], *headers: str, end: str = "\r\n\r\n") -> bytes:
    lines = ["POST /internal/events?tenant_id=acme HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in token.items()]
    return ("\r\n".join([*lines, *headers]) + end).encode("latin-1")


def test_those_who_never_finish_hold_up_nobody(served: Outside, http: httpx.Client) -> None:
    """Two hundred heads and bodies that drip: others are answered at once all the while."""
    token = served.caller("acme", *TENANT_SCOPES)
    body = _post(token, "Content-Type: application/json", "Content-Length: 1000")
    with ExitStack() as stack:
        lines = [stack.enter_context(_line(served)) for _ in range(200)]
        for number, line in enumerate(lines):
            line.sendall(body if number % 2 else _post(token, end="\r\n"))
        for _ in range(3):
            for number, line in enumerate(lines):
                line.sendall(b" " if number % 2 else b"X-More: 1\r\n")
            began = time.monotonic()
            assert http.get("/healthz").status_code == 200
            problem(http.get("/internal/tasks/A"), 404, "NOT_FOUND")
            assert time.monotonic() - began < 2
    assert served.is_well()


@pytest.mark.soak
@pytest.mark.parametrize("what", ["head", "second head", "body", "body that is not read"])
def test_who_never_finishes_is_left_in_the_end(served: Outside, what: str) -> None:
    """After half a minute, however it drips; a body that was waited for gets its 408 first."""
    token = served.caller("acme", *TENANT_SCOPES)
    large = ("Content-Type: application/json", "Content-Length: 1000")
    good = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    sent, statuses, more = {
        "head": (_post(token, end="\r\n"), [], b"X-More: 1\r\n"),
        "second head": (good + _post(token, end="\r\n"), [b"200"], b"X-More: 1\r\n"),
        "body": (_post(token, *large), [b"408"], b" "),
        "body that is not read": (_post({}, *large), [b"401"], b" "),
    }[what]
    with _line(served) as line:
        line.settimeout(1)
        line.sendall(sent)
        began, said = time.monotonic(), b""
        while (piece := _dripped(line, more)) is not None:
            assert time.monotonic() - began < 2 * HEAD_SECONDS + PATIENCE
            said += piece
    assert time.monotonic() - began > HEAD_SECONDS - 1
    assert re.findall(rb"HTTP/1.1 (\d+) ", said) == statuses
    assert served.is_well()


def _dripped(line: socket.socket, more: bytes) -> bytes | None:
    """What comes within a second after a little more; None once the other side has left."""
    try:
        line.sendall(more)
        return line.recv(65536) or None
    except TimeoutError:
        return b""
    except OSError:
        return None


ODD = {
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n", 400),
    "a method that is none": (b"GE T / HTTP/1.1\r\n\r\n", 400),
    "no version": (b"GET /healthz\r\n\r\n", 400),
    "another protocol": (b"PRI * HTTP/2.0\r\n\r\n", 404),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "a header with NUL": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
    "a header without a name": (b"GET /healthz HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    "two lengths": (_post({}, "Content-Length: 1", "Content-Length: 2"), 400),
    "a length that is none": (_post({}, "Content-Length: -1"), 400),
    "a huge length": (_post({}, "Content-Length: " + "9" * 30), 400),
    "a chunk that is none": (_post({}, "Transfer-Encoding: chunked") + b"zz\r\n", 400),
    "a length and chunks": (
        _post({}, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        401,
    ),
    "an upgrade": (_post({}, "Connection: Upgrade", "Upgrade: websocket"), 401),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "a path that leads up": (b"GET /healthz/../../etc/passwd HTTP/1.0\r\n\r\n", 404),
    "a whole URL": (b"GET http://evil.example/healthz HTTP/1.0\r\n\r\n", 404),
    "an encoded NUL": (b"GET /internal/tasks/%00 HTTP/1.0\r\n\r\n", 401),
    "a path that is no UTF-8": (b"GET /%ff%fe HTTP/1.0\r\n\r\n", 404),
    "a long path": (b"GET /" + b"a" * 60_000 + b" HTTP/1.0\r\n\r\n", 404),
    "huge headers": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 1_000_000, 400),
    "a hundred thousand headers": (
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
        400,
    ),
    "a huge token": (
        b"GET /internal/tasks HTTP/1.0\r\nAuthorization: Bearer " + b"a" * 40_000 + b"\r\n\r\n",
        401,
    ),
    "a token that is no text": (
        b"GET /internal/tasks HTTP/1.0\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
        401,
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_request_is_answered_or_left(served: Outside, what: str) -> None:
    """With the status that it deserves, never with 500; what is known as HTTP gets a problem."""
    sent, status = ODD[what]
    with _line(served) as line:
        try:
            line.sendall(sent)
            line.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        said = _said(line)
    if said:
        assert int(said.split(b" ", 2)[1]) == status
        head, _, body = said.partition(b"\r\n\r\n")
        if status > 400:
            assert b"content-type: application/problem+json" in head
            assert json.loads(body)["status"] == status
    else:
        assert status == 400
    assert served.is_well()


def test_two_credentials_are_none(served: Outside, http: httpx.Client) -> None:
    """Whoever stands between may have looked at the other one."""
    one, other = (served.caller("acme", *TENANT_SCOPES)["Authorization"] for _ in range(2))
    for first, second in ((one, other), (one, one), (one, "Bearer x"), ("Bearer x", one)):
        headers = [("Authorization", first), ("Authorization", second)]
        with httpx.Client(base_url=served.url, trust_env=False) as client:
            answer = client.get("/internal/tasks/A", headers=headers)
        problem(answer, 401, "CREDENTIALS_MALFORMED")


def test_garbage_after_a_request_is_not_part_of_it(served: Outside) -> None:
    """Requests that follow one another on a connection are answered in turn, up to the garbage."""
    good = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    with _line(served) as line:
        line.sendall(good + good + b"\x00garbage\r\n\r\n" + good)
        said = _said(line)
    assert re.findall(rb"HTTP/1.1 (\d+) ", said) == [b"200", b"200", b"400"]
    assert served.is_well()


def test_a_refused_body_is_no_second_request(served: Outside) -> None:
    """What follows a head that is refused is never read as a request of its own."""
    hidden = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    with _line(served) as line:
        line.sendall(_post({}, f"Content-Length: {LARGE}") + hidden)
        line.shutdown(socket.SHUT_WR)
        said = _said(line)
    assert re.findall(rb"HTTP/1.1 (\d+) ", said) == [b"401"]
    assert b"ok" not in said.partition(b"\r\n\r\n")[2].replace(b"token", b"")
