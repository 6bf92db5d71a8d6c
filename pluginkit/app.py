"""The routes of a plugin: who calls is known, what is asked for is checked, then it is done."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from pluginkit.executions import Asked, Executions
from pluginkit.problems import MEDIA_TYPE, Problem, title
from pluginkit.requests import (
    MAX_BODY_BYTES,
    check_plugin_id,
    names,
    read_execution,
    read_headers,
)
from pluginkit.secrets import Secrets
from pluginkit.work import Action
from shared.webhooks import ID, BadSignature, request_id, verify

EXECUTE_PATH = "/plugin/runtime/{plugin_id}/execute"
CANCEL_PATH = "/plugin/runtime/{plugin_id}/executions/{run_id:anything}"

Find = Callable[[str], tuple[Action, float] | None]
"""The action of a plugin id, and how many seconds its calls wait."""


class Anything(Convertor[str]):
    """The rest of a path, whatever is in it; Starlette's own `path` ends at a line's end."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("anything", Anything())


@dataclass(frozen=True, slots=True)
class Door:
    """What the routes need: who may come in, what there is to do, and who does it."""

    secrets: Secrets
    find: Find
    executions: Callable[[], Executions]

    async def execute(self, request: Request) -> Response:
        """`POST /plugin/runtime/{plugin_id}/execute`."""
        body = await _read(request)
        self._check_signature(request, body)
        plugin_id, (action, accept_after) = self._find(request)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Problem(415, "NOT_JSON", "the content type is not application/json")
        key, traceparent = read_headers(dict(request.scope["headers"]))
        execution = read_execution(body)
        if not names(key, execution.run_id):
            raise Problem(400, "INVALID_HEADER", "the header idempotency-key is not the run_id")
        if execution.plugin_id not in {None, plugin_id}:
            raise Problem(400, "OTHER_PLUGIN", "the body is meant for another plugin id")
        asked = Asked(plugin_id, execution, traceparent, action, accept_after)
        answer = await self.executions().deliver(asked)
        if answer is None:
            return Response(b"{}", 202, media_type="application/json")
        return Response(answer.body(), 200, media_type="application/json")

    async def cancel(self, request: Request) -> Response:
        """`DELETE /plugin/runtime/{plugin_id}/executions/{run_id}`."""
        body = await _read(request)
        self._check_signature(request, body)
        plugin_id, _ = self._find(request)
        run_id = request.path_params["run_id"]
        key, _ = read_headers(dict(request.scope["headers"]))
        if not names(key, run_id):
            raise Problem(400, "INVALID_HEADER", "the header idempotency-key is not the run id")
        if self.secrets() and request.headers[ID] != request_id("cancel", plugin_id, run_id):
            # There is no body that says what it is about: only by its id is that signed.
            raise _unsigned(f"the {ID} is not that of this request")
        await self.executions().cancel(plugin_id, run_id)
        return Response(b"{}", 202, media_type="application/json")

    def _check_signature(self, request: Request, body: bytes) -> None:
        secrets = self.secrets()
        if not secrets:
            return
        try:
            verify(secrets, request.headers, body, now=datetime.now(UTC))
        except BadSignature as error:
            raise _unsigned(str(error)) from error

    def _find(self, request: Request) -> tuple[str, tuple[Action, float]]:
        plugin_id = check_plugin_id(request.path_params["plugin_id"])
        found = self.find(plugin_id)
        if found is None:
            raise Problem(404, "NO_SUCH_PLUGIN", f"there is no plugin {plugin_id} here")
        return plugin_id, found


async def health(_: Request) -> Response:
    """`GET /healthz`: it answers, and that is all that it says."""
    return Response(b'{"status": "ok"}', media_type="application/json")


def create_app(door: Door, lifespan: Callable[[Any], Any]) -> Starlette:
    """The ASGI app."""
    return Starlette(
        routes=[
            Route(EXECUTE_PATH, door.execute, methods=["POST"]),
            Route(CANCEL_PATH, door.cancel, methods=["DELETE"]),
            Route("/healthz", health, methods=["GET"]),
        ],
        exception_handlers={Problem: _refused, HTTPException: _http, Exception: _broken},
        lifespan=lifespan,
    )


async def _read(request: Request) -> bytes:
    """The whole body. Raises Problem 413 as soon as it is too large."""
    length = request.headers.get("content-length", "")
    chunks, size = [], int(length) if length.isascii() and length.isdigit() else 0
    if size <= MAX_BODY_BYTES:
        size = 0
        try:
            async for chunk in request.stream():
                chunks.append(chunk)
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    break
        except ClientDisconnect as error:
            raise Problem(400, "INCOMPLETE", "the caller left before the end") from error
    if size > MAX_BODY_BYTES:
        detail = f"the body has more than {MAX_BODY_BYTES} bytes"
        raise Problem(413, "TOO_LARGE", detail, headers={"connection": "close"})
    return b"".join(chunks)


def _unsigned(why: str) -> Problem:
    return Problem(401, "BAD_SIGNATURE", why, headers={"www-authenticate": "Standard-Webhooks"})


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for it only
    return Response(error.body(), error.status, error.headers, media_type=MEDIA_TYPE)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it only
    code = title(error.status_code).upper().replace(" ", "_")
    headers = dict(error.headers or {})
    problem = Problem(error.status_code, code, f"{error.detail} here", headers=headers)
    return await _refused(request, problem)


async def _broken(request: Request, _: Exception) -> Response:
    return await _refused(request, Problem(500, "INTERNAL", "the plugin kit failed: see its log"))
