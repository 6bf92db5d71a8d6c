"""Every error answer of the app as `application/problem+json`, also those that FastAPI makes."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pluginkit.problems import MEDIA_TYPE, Problem, field_errors, title


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
