"""Who may use a route, for which tenant, from where; and what the audit says of it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.typing import EventDict
from temporalio.client import Client

from domain.trace import header
from starter.api.access import Operator, Reader, Writer
from starter.callers import Scope
from tests.api.harness import Door, door
from tests.api.test_problems import problem


@pytest.fixture(scope="module")
async def things(temporal: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """An app with a route that reads, one that writes and one that operates."""
    async with door(temporal, tmp_path_factory.mktemp("things")) as opened:

        @opened.app.get("/things/{thing}")
        async def read(thing: str, access: Reader) -> str:
            return f"{access.tenant_id}/{thing}"

        @opened.app.put("/things/{thing}")
        async def write(thing: str, access: Writer) -> str:
            access.audit.changed(None, "d2")
            access.audit.about(version="7")
            return f"{access.tenant_id}/{thing}"

        @opened.app.post("/things/{thing}/go")
        async def operate(thing: str, access: Operator) -> str:
            raise ValueError(thing)

        yield opened


def _audits(logs: list[EventDict]) -> list[dict[str, Any]]:
    return [dict(line) for line in logs if line.get("action") == "audit"]


async def test_a_write_is_one_line_that_says_who_did_what(
    things: Door, logs: list[EventDict]
) -> None:
    """Token id, tenant, route, ids, digests, what came of it and the request; never the token."""
    parent = header(trace := "7" * 32, "1" * 16)
    named = {"X-Request-Id": "r1", "traceparent": parent}
    headers = things.caller("acme", Scope.TASK_WRITE) | named
    answer = await things.http.put("/things/a%20b?secret=hidden", headers=headers)
    assert answer.json() == "acme/a b"
    (line,) = _audits(logs)
    token = headers["Authorization"].removeprefix("Bearer ")
    who = token.split("_")[1]
    assert line == {
        "event": "write",
        "log_level": "info",
        "action": "audit",
        "who": who,
        "tenant_id": "acme",
        "method": "PUT",
        "route": "/things/{thing}",
        "ids": {"thing": "a b", "version": "7"},
        "before": None,
        "after": "d2",
        "status": 200,
        "code": None,
        "client": "127.0.0.1",
        "request_id": "r1",
        "request_trace_id": trace,
    }
    assert token not in str(logs)
    assert "hidden" not in str(logs)


async def test_a_write_that_was_refused_or_failed_is_a_line_too(
    things: Door, logs: list[EventDict]
) -> None:
    """With what is known of who tried; reads leave none."""
    reader = things.caller("acme", Scope.TASK_READ)
    operator = things.caller("acme", Scope.TASK_OPERATE)
    assert (await things.http.get("/things/a", headers=reader)).status_code == 200
    problem(await things.http.get("/things/a"), 401, "CREDENTIALS_MISSING")
    assert _audits(logs) == []
    problem(await things.http.put("/things/a"), 401, "CREDENTIALS_MISSING")
    problem(await things.http.put("/things/a", headers=reader), 403, "FORBIDDEN")
    problem(await things.http.post("/things/a/go", headers=operator), 500, "INTERNAL_ERROR")
    foreign = {"tenant_id": "beta"}
    answer = await things.http.post("/things/a/go", headers=operator, params=foreign)
    problem(answer, 404, "NOT_FOUND")
    seen = [(line["status"], line["code"], line["tenant_id"]) for line in _audits(logs)]
    assert seen == [
        (401, "CREDENTIALS_MISSING", None),
        (403, "FORBIDDEN", None),
        (500, "INTERNAL_ERROR", "acme"),
        (404, "NOT_FOUND", None),
    ]
    assert [line["who"] is None for line in _audits(logs)] == [True, False, False, False]


async def test_what_a_caller_sends_cannot_fill_the_log(things: Door, logs: list[EventDict]) -> None:
    """An id is cut; a new line in it stays within its field."""
    headers = things.caller("acme", Scope.TASK_WRITE)
    await things.http.put("/things/" + "x" * 5000 + "%0Aaction=audit", headers=headers)
    (line,) = _audits(logs)
    assert line["ids"]["thing"] == "x" * 200


async def test_the_tenant_is_the_tokens_and_an_admin_names_one(things: Door) -> None:
    """A tenant's token may name its own; another is not found, and an admin must name one."""
    acme = things.caller("acme", Scope.TASK_READ)
    admin = things.caller(None)

    async def asked(headers: dict[str, str], **named: str) -> Any:
        return await things.http.get("/things/a", headers=headers, params=named)

    assert (await asked(acme)).json() == (await asked(acme, tenant_id="acme")).json() == "acme/a"
    assert (await asked(admin, tenant_id="beta")).json() == "beta/a"
    for named in ("beta", "none", "", "../acme", "\u00fc"):
        problem(await asked(acme, tenant_id=named), 404, "NOT_FOUND")
    for wrong in ({}, {"tenant_id": ""}, {"tenant_id": "A"}, {"tenant_id": "a\nb"}):
        document = problem(await asked(admin, **wrong), 422, "INVALID_INPUT")
        assert [error["path"] for error in document["errors"]] == ["tenant_id"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8088"}, 200),
        ({"Host": "[::1]:8088"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "localhost@evil.example"}, 403),
        ({"Host": "10.0.0.1"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_without_authentication_no_page_of_others_gets_in(
    open_api: Door, api: Door, headers: dict[str, str], status: int
) -> None:
    """A browser of this machine is no way in for who made the page; tokens are not sent by one."""
    answer = await open_api.http.get("/openapi.json", headers=headers)
    assert answer.status_code == status
    if status == 403:
        problem(answer, 403, "FOREIGN_ORIGIN")
    assert (await api.http.get("/openapi.json", headers=headers)).status_code == 200
