"""Every error as an answer: one table from our errors to problem documents (RFC 9457)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from temporalio.service import RPCError, RPCStatusCode

from domain.problems import InvalidInput, Problem, problems_of_details
from shared.errors import Conflict, NotFound, NoWorker, Refused, TaskflowError, TemporalUnreachable
from starter.callers import AuthUnavailable, Forbidden, Unauthenticated
from starter.conditions import PreconditionFailed
from starter.idempotency import KeyReused

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
"""When to come again after a 503: a Temporal server that restarts needs about as long."""
MOST_ERRORS = 100
"""Of one answer; what is wrong with thousands of tasks is told by `taskflow apply`."""

_BROKEN = (
    RPCStatusCode.UNKNOWN,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.ABORTED,
    RPCStatusCode.DATA_LOSS,
)
"""How an RPC ends whose connection breaks under it, or whose server is in trouble itself."""

_DETAILS = {
    404: "nothing is served at this path",
    405: "this path does not answer to this method; Allow lists those that it does",
}


@dataclass(eq=False)
class HttpRefusal(Exception):  # noqa: N818 - reads as what happened
    """What only HTTP can get wrong: a header, a body's form, a limit. `members` are added as is."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: Sequence[Problem] = ()
    members: Mapping[str, Any] = field(default_factory=dict)


def refusal_of(error: Exception) -> HttpRefusal | None:  # noqa: PLR0911, PLR0912 - a table
    """The table; None for what nobody foresaw."""
    match error:
        case HttpRefusal():
            return error
        case InvalidInput():
            detail = "the request is refused whole: `errors` says what is wrong with it"
            return HttpRefusal(422, "INVALID_INPUT", detail, errors=error.problems)
        case RequestValidationError():
            return refusal_of(InvalidInput(_of_parameters(error.errors())))
        case Unauthenticated():
            challenge = {"WWW-Authenticate": 'Bearer realm="taskflow"'}
            return HttpRefusal(401, error.code.upper(), str(error), challenge)
        case Forbidden():
            return HttpRefusal(403, error.code.upper(), str(error))
        case NotFound():
            return HttpRefusal(404, "NOT_FOUND", str(error))
        case PreconditionFailed():
            return HttpRefusal(412, error.code, str(error))
        case KeyReused():
            return HttpRefusal(422, error.code, str(error))
        case Conflict():
            return HttpRefusal(409, error.code, str(error))
        case Refused():
            return HttpRefusal(409, "REFUSED", str(error))
        case TemporalUnreachable():
            return unavailable("TEMPORAL_UNREACHABLE", str(error))
        case NoWorker():
            return unavailable("NO_WORKER", str(error))
        case AuthUnavailable():
            return unavailable("AUTHENTICATION_UNAVAILABLE", str(error))
        case TaskflowError(__cause__=RPCError(status=RPCStatusCode.RESOURCE_EXHAUSTED)):
            return unavailable("TEMPORAL_BUSY", "Temporal has too much to do: try again")
        case TaskflowError(__cause__=RPCError(status=how)) if how in _BROKEN:
            return unavailable("TEMPORAL_FAILED", "Temporal could not answer: try again")
        case HTTPException():
            status = HTTPStatus(error.status_code)
            detail = _DETAILS.get(error.status_code, str(error.detail))
            return HttpRefusal(status, status.name, detail, error.headers or {})
    return None


def unavailable(code: str, detail: str, **members: Any) -> HttpRefusal:
    """503: nothing is wrong with the request, and it may come again."""
    return HttpRefusal(503, code, detail, {"Retry-After": str(RETRY_SECONDS)}, members=members)


def internal_error() -> HttpRefusal:
    """500, which says nothing of what went wrong: the log does, under the same request id."""
    detail = "something that nobody foresaw; the log has it under this request id"
    return HttpRefusal(500, "INTERNAL_ERROR", detail)


def answer_of(refusal: HttpRefusal, request_id: str) -> JSONResponse:
    """The answer to one request."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": int(refusal.status),
        "detail": refusal.detail,
        "code": refusal.code,
        "request_id": request_id,
    }
    if refusal.errors:
        shown = refusal.errors[:MOST_ERRORS]
        document["errors"] = [_encodable(problem.as_json()) for problem in shown]
        if len(shown) < len(refusal.errors):
            document["more_errors"] = len(refusal.errors) - len(shown)
    document["detail"] = _text(document["detail"])
    return JSONResponse(
        {**document, **refusal.members},
        status_code=refusal.status,
        headers={"Cache-Control": "no-store", **refusal.headers},
        media_type=MEDIA_TYPE,
    )


def _of_parameters(details: Iterable[Any]) -> list[Problem]:
    """Without where a parameter stands: `limit`, not `query.limit`."""
    return [Problem(problem.path[1:], problem.message) for problem in problems_of_details(details)]


def _encodable(problem: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _text(value) if isinstance(value, str) else value for key, value in problem.items()
    }


def _text(text: str) -> str:
    """Half of a character, quoted from what is refused, cannot be sent back."""
    return text.encode("utf-8", "backslashreplace").decode()
