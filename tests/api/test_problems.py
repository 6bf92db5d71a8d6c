"""Whatever goes wrong, the answer is one document that says what, and whose id the log has."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from structlog.typing import EventDict
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.problems import InvalidInput, Problem
from shared.errors import Conflict, NotFound, NoWorker, Refused, TaskflowError, TemporalUnreachable
from starter.api.openapi import _SEEN, ProblemDocument
from starter.api.problems import HttpRefusal, refusal_of
from starter.callers import AuthUnavailable, Forbidden, Scope, Unauthenticated
from starter.conditions import PreconditionFailed
from starter.idempotency import KeyReused
from starter.rpc import temporal_errors
from tests.api.harness import Door, door

EVENTS = "/internal/events"


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer is."""
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), answer.text
    document: dict[str, Any] = answer.json()
    ProblemDocument.model_validate(document)
    assert (document["status"], document["code"]) == (status, code)
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


def _rpc(message: str, status: RPCStatusCode) -> TaskflowError:
    """What a call of Temporal that ends so becomes."""
    with pytest.raises(TaskflowError) as raised, temporal_errors():
        raise RPCError(message, status, b"")
    return raised.value


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput([Problem(("a", 0), "is wrong")]), 422, "INVALID_INPUT"),
        (NotFound("there is no task"), 404, "NOT_FOUND"),
        (Conflict("it has ended", "ALREADY_ENDED"), 409, "ALREADY_ENDED"),
        (Refused("no"), 409, "REFUSED"),
        (Unauthenticated("who?"), 401, "UNAUTHENTICATED"),
        (Forbidden(Scope.TASK_WRITE), 403, "FORBIDDEN"),
        (TemporalUnreachable("it is down"), 503, "TEMPORAL_UNREACHABLE"),
        (PreconditionFailed("changed"), 412, "PRECONDITION_FAILED"),
        (KeyReused(), 422, "IDEMPOTENCY_KEY_REUSED"),
        (NoWorker("none answers"), 503, "NO_WORKER"),
        (AuthUnavailable("no keys"), 503, "AUTHENTICATION_UNAVAILABLE"),
        (_rpc("busy", RPCStatusCode.RESOURCE_EXHAUSTED), 503, "TEMPORAL_BUSY"),
        (_rpc("shard status unknown", RPCStatusCode.INTERNAL), 503, "TEMPORAL_FAILED"),
        (_rpc("transport error", RPCStatusCode.UNKNOWN), 503, "TEMPORAL_UNREACHABLE"),
        (_rpc("tcp connect error", RPCStatusCode.UNAVAILABLE), 503, "TEMPORAL_UNREACHABLE"),
        (HttpRefusal(412, "PRECONDITION_FAILED", "changed"), 412, "PRECONDITION_FAILED"),
    ],
)
def test_each_error_has_its_answer(error: Exception, status: int, code: str) -> None:
    """The table of errors, row by row; whoever may come again is told when."""
    refusal = refusal_of(error)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (status, code)
    assert ("Retry-After" in refusal.headers) == (status == 503)
    assert ("WWW-Authenticate" in refusal.headers) == (status == 401)
    assert status in _SEEN
    assert refusal_of(ValueError("a bug")) is None
    assert refusal_of(TaskflowError("a bug of ours")) is None
    assert refusal_of(_rpc("bad page token", RPCStatusCode.INVALID_ARGUMENT)) is None


async def test_a_path_that_is_none_is_a_problem(api: Door) -> None:
    """Also with a slash too many: there are no redirects."""
    for path in ("/", "/internal", "/internal/nothing", "/healthz/", "/docs", "/%00", "/\u00fc"):
        problem(await api.http.get(path), 404, "NOT_FOUND")


async def test_a_method_that_is_none_names_those_that_are(api: Door) -> None:
    """405 with Allow, for methods that nobody knows too."""
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "BREW"):
        answer = await api.http.request(method, EVENTS)
        assert answer.headers["allow"] == "POST"
        if method != "HEAD":
            problem(answer, 405, "METHOD_NOT_ALLOWED")
    answer = await api.http.post("/openapi.json")
    assert answer.headers["allow"] == "GET, HEAD"


async def test_allow_lists_the_methods_of_all_routes_of_a_path(
    temporal: Client, tmp_path: Path
) -> None:
    """Not only those of the route that is looked at first."""
    router = APIRouter(prefix="/internal")

    @router.get("/things/{thing:path}/parts")
    async def read(thing: str) -> str:
        return thing

    @router.delete("/things/{thing:path}/parts")
    async def delete(thing: str) -> str:
        return thing

    async with door(temporal, tmp_path) as opened:
        opened.app.include_router(router)
        answer = await opened.http.put("/internal/things/a/b/parts")
    problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, DELETE"


async def test_what_nobody_foresaw_is_500_without_details(
    temporal: Client, tmp_path: Path, logs: list[EventDict]
) -> None:
    """The text of the error is in the log, under the id that the answer has."""
    async with door(temporal, tmp_path) as opened:

        @opened.app.get("/breaks")
        async def breaks() -> None:
            raise ValueError("a secret of the inside")

        answer = await opened.http.get("/breaks", headers={"X-Request-Id": "mine-7"})
    assert problem(answer, 500, "INTERNAL_ERROR")["request_id"] == "mine-7"
    assert "secret" not in answer.text
    (line,) = (line for line in logs if line.get("action") == "request_failed")
    assert (line["log_level"], line["path"], line["exc_info"]) == ("error", "/breaks", True)


async def test_parameters_that_are_wrong_are_named(temporal: Client, tmp_path: Path) -> None:
    """By their names, all at once, as in every other refusal."""
    async with door(temporal, tmp_path) as opened:

        @opened.app.get("/list")
        async def listed(limit: int, after: int = 0) -> int:
            return limit + after

        answer = await opened.http.get("/list?limit=many&after=%00")
    assert problem(answer, 422, "INVALID_INPUT")["errors"] == [
        {"path": "after", "message": "must be a whole number, and this is '\\x00'"},
        {"path": "limit", "message": "must be a whole number, and this is 'many'"},
    ]


@pytest.mark.parametrize("said", ["a-b_c.9~/=", "x" * 128])
async def test_a_request_id_that_is_given_comes_back(api: Door, said: str) -> None:
    """So that whoever asks can find the answer in their log and in ours."""
    answer = await api.http.get("/healthz", headers={"X-Request-Id": said})
    assert answer.headers["x-request-id"] == said


@pytest.mark.parametrize("said", ["", "x" * 129, "a b", "a\tb", "a\u00fc", 'a"b', "a,b", "a;b"])
async def test_a_request_id_that_could_hurt_is_replaced(api: Door, said: str) -> None:
    """What would change the lines of a log, or is too long, never gets there."""
    answer = await api.http.get("/healthz", headers=[(b"x-request-id", said.encode())])
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-request-id"].isalnum()
