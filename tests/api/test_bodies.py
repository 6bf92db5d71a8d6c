"""Bodies that are too large, no JSON, or JSON that others would read otherwise (fault row 27)."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Request
from temporalio.client import Client

from starter.api import bodies
from starter.api.bodies import read_json
from starter.api.routes.reports import REPORT_BYTES
from tests.api.harness import Door, door
from tests.api.test_problems import EVENTS, problem

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
async def echo(temporal: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """An app with a route that gives back what it read, of 1,000 bytes at most."""
    async with door(temporal, tmp_path_factory.mktemp("echo")) as opened:

        @opened.app.post("/echo")
        async def post(request: Request) -> Any:
            return (await read_json(request, 1000)).data

        @opened.app.put("/echo")
        async def put(request: Request) -> Any:
            return (await read_json(request, 1000, optional=True)).data

        yield opened


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"a": NaN}', "not a JSON number"),
        (b"[-Infinity]", "not a JSON number"),
        (b"[1e999]", "not a JSON number"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'["\\ud800"]', "lone surrogate"),
        (b'{"\\udfff": 1}', "lone surrogate"),
        (b'{"a": 1, "\\u0061": 2}', "stands twice"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"\x00{\x00}", "not valid JSON"),
        (b"[" * 33 + b"]" * 33, "nested deeper than 32"),
        (b"[" * 999, "nested deeper than 32"),
        (b"9" * 999, None),
    ],
)
async def test_what_is_no_strict_json_is_refused(echo: Door, body: bytes, said: str | None) -> None:
    """With the reason, and never as the fault of the API."""
    answer = await echo.http.post("/echo", content=body, headers=JSON)
    if said is None:
        assert answer.json() == int(body)
        return
    (first, *_) = problem(answer, 400, "UNREADABLE_BODY")["errors"]
    assert said in first["message"]


@pytest.mark.parametrize("body", [{"a": ["\u00fc\U0001f600", -0.5, None, True]}, [], "x", 0, None])
async def test_strict_json_is_read_as_it_is(echo: Door, body: Any) -> None:
    """Any value, in UTF-8; whether it is the right one is for the route to say."""
    for content in ("application/json", "Application/JSON; charset=UTF-8"):
        answer = await echo.http.post(
            "/echo",
            content=json.dumps(body, ensure_ascii=False).encode(),
            headers={"Content-Type": content},
        )
        assert (answer.status_code, answer.json()) == (200, body)


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    "said",
    [
        *("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", ";"),
        *("application/json; charset=latin-1", "application/json; charset=utf-16", "\u00fc"),
        *("application/json, text/plain", "application/json; charset*=x''utf-8"),
        f'application/json; x="{";" * 60_000}',
    ],
)
async def test_another_content_type_is_415(echo: Door, said: str) -> None:
    """Before the body is looked at; a form of a page in a browser is none of ours."""
    headers = [(b"content-type", said.encode())]
    problem(
        await echo.http.post("/echo", content=b"{}", headers=headers), 415, "UNSUPPORTED_MEDIA_TYPE"
    )
    problem(await echo.http.post("/echo", content=b"{}"), 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_body_may_be_left_out_where_it_is_optional(echo: Door) -> None:
    """Nothing at all is an empty object; something without a type is something wrong."""
    assert (await echo.http.put("/echo")).json() == {}
    assert (await echo.http.put("/echo", json={"a": 1})).json() == {"a": 1}
    problem(await echo.http.put("/echo", content=b"x"), 415, "UNSUPPORTED_MEDIA_TYPE")
    problem(await echo.http.put("/echo", headers=JSON), 400, "UNREADABLE_BODY")


@pytest.mark.fault(27)
async def test_a_body_that_says_it_is_too_large_is_not_read(echo: Door) -> None:
    """Twenty megabytes cost a header, and the limit is exact."""
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        sent += 1
        yield b"[" * 1_000_000

    headers = {**JSON, "Content-Length": "20000000"}
    answer = await echo.http.post("/echo", content=pieces(), headers=headers)
    assert problem(answer, 413, "BODY_TOO_LARGE")["detail"] == "the body is larger than 1,000 bytes"
    assert sent == 0
    for said in ("1001", "9" * 4000):
        answer = await echo.http.post(
            "/echo", content=b"", headers={**JSON, "Content-Length": said}
        )
        problem(answer, 413, "BODY_TOO_LARGE")
    whole = json.dumps("x" * 998).encode()
    assert (await echo.http.post("/echo", content=whole, headers=JSON)).status_code == 200


async def test_a_body_of_unknown_length_is_read_up_to_the_limit(echo: Door) -> None:
    """In pieces, without a length, endless."""
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100
            yield b" " * 100

    answer = await echo.http.post("/echo", content=pieces(), headers=JSON)
    problem(answer, 413, "BODY_TOO_LARGE")
    assert sent == 1100


async def test_a_body_that_does_not_come_is_given_up(
    echo: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while that is the same however slowly it comes."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.1)

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.03)
            yield b" "

    answer = await echo.http.post("/echo", content=pieces(), headers=JSON)
    problem(answer, 408, "BODY_TIMEOUT")


@pytest.mark.fault(27)
async def test_events_are_limited_whoever_sends_them(open_api: Door) -> None:
    """In bytes, and in levels within them: a signature is no reason to read more."""
    signed = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
    for extra in ({}, signed):
        answer = await open_api.http.post(
            EVENTS, content=b"x" * (REPORT_BYTES + 1), headers={**JSON, **extra}
        )
        problem(answer, 413, "BODY_TOO_LARGE")
    answer = await open_api.http.post(EVENTS, content=b"[" * 100_000, headers=JSON)
    problem(answer, 400, "UNREADABLE_BODY")
