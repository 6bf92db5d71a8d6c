"""The app: its routes and what stands before them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from domain.problems import InvalidInput
from shared.errors import TaskflowError
from starter.api import health
from starter.api.access import bearer
from starter.api.audit import Audit
from starter.api.console import is_console
from starter.api.console.errors import error_page
from starter.api.console.routes import PAGES
from starter.api.context import Context
from starter.api.envelope import Envelope
from starter.api.openapi import with_problems
from starter.api.problems import HttpRefusal, answer_of, refusal_of
from starter.api.routes import ROUTERS
from starter.api.routes.codec import CodecCors

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_TAGS = [
    {"name": "tasks", "description": "Registering tasks, operating them, and seeing what they do"},
    {"name": "runs", "description": "Runs by their ids"},
    {"name": "forecast", "description": "What will collide"},
    {"name": "sla-report", "description": "How it went"},
    {"name": "codec", "description": "For Temporal's Web UI: encrypted payloads as they are meant"},
    {"name": "events", "description": "What happens elsewhere, and what plugins report"},
    {"name": "health", "description": "For those who look after the process; no token is needed"},
]


class Api(FastAPI):
    """FastAPI whose OpenAPI document tells of problems."""

    def openapi(self) -> dict[str, Any]:
        """Made when it is first asked for."""
        if self.openapi_schema is None:
            self.openapi_schema = with_problems(super().openapi())
        return self.openapi_schema


def create_app(context: Context) -> FastAPI:
    """The ASGI app of one process."""
    app = Api(
        title="taskflow",
        version=version("taskflow"),
        summary="Register, control and inspect tasks; tell of events",
        openapi_tags=_TAGS,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.context = context
    for error in (HttpRefusal, InvalidInput, TaskflowError, RequestValidationError, HTTPException):
        app.add_exception_handler(error, _refused)
    app.add_middleware(CodecCors, origin=context.settings.codec_origin)
    app.add_middleware(Envelope, context=context)
    app.include_router(health.router)
    for router in ROUTERS:
        app.include_router(router, dependencies=[bearer])
    for router in PAGES:
        app.include_router(router, include_in_schema=False)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Temporal is not waited for: a process that starts before it answers 503 until it is there."""
    context: Context = app.state.context
    try:
        async with context.rules.live():
            yield
    finally:
        await context.temporal.close()


async def _refused(request: Request, error: Exception) -> Response:
    """The answer to an error of ours, or of FastAPI."""
    refusal = refusal_of(error)
    if refusal is None:
        raise error  # the envelope logs it
    if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
        refusal.headers = {"Allow": ", ".join(_methods_of(request))}
    audit: Audit = request.scope["taskflow.audit"]
    audit.code = refusal.code
    if is_console(request.url.path):
        return error_page(request, refusal)
    return answer_of(refusal, request.scope["taskflow.request_id"])


def _methods_of(request: Request) -> list[str]:
    """All methods of a path. Starlette lists those of the first route that has it."""
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.router.routes
        )
    ]
