"""Refusals as `application/problem+json` (RFC 9457), with a code and the errors by path."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


@dataclass
class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """A request is refused.

    `code` is for programs, `detail` for people; `errors` are `{path, message}` of each field.
    """

    status: int
    code: str
    detail: str
    errors: list[dict[str, str]] = field(default_factory=list)

    def body(self) -> bytes:
        """The JSON body."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": title(self.status),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = self.errors
        return json.dumps(document).encode()


def title(status: int) -> str:
    """The phrase of a status; also of one that no RFC names."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown status"


def field_errors(errors: Any) -> list[dict[str, str]]:
    """Pydantic's errors as `{path, message}`, without the values: they may be secret."""
    return [
        {"path": ".".join(map(str, error["loc"])), "message": str(error["msg"])} for error in errors
    ]


def install(app: FastAPI) -> None:
    """Make every error answer of the app a problem."""

    def answer(problem: Problem, headers: dict[str, str] | None = None) -> Response:
        return Response(problem.body(), problem.status, headers, media_type=MEDIA_TYPE)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it only
        errors = field_errors(error.errors())
        return answer(Problem(422, "INVALID", "the request is not valid", errors))

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for it only
        code = title(error.status_code).upper().replace(" ", "_")
        headers = dict(error.headers) if error.headers else None
        return answer(Problem(error.status_code, code, str(error.detail)), headers)

    async def failed(_: Request, error: Exception) -> Response:
        return answer(Problem(500, "INTERNAL", type(error).__name__))

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, failed)
