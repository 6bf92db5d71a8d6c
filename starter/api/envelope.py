"""What goes around every request: its id, the last resort, counters and the audit."""

import asyncio
import ipaddress
import re
import time
import uuid
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import tracing
from shared.tracing import RequestTrace
from starter.api.audit import Audit
from starter.api.console import is_console
from starter.api.console.errors import error_page
from starter.api.context import Context
from starter.api.problems import HttpRefusal, answer_of, internal_error, unavailable

log = structlog.get_logger(__name__)

REQUEST_ID = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Envelope:
    """An ASGI middleware: whatever happens inside, one well-formed answer leaves."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._context)
        trace = exchange.trace
        with structlog.contextvars.bound_contextvars(
            request_id=exchange.request_id, request_trace_id=trace.own.trace
        ):
            token = tracing.REQUEST.set(trace)
            try:
                await exchange.run(self._app, receive)
            finally:
                tracing.REQUEST.reset(token)
                exchange.over()


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send, context: Context) -> None:
        self._scope, self._send, self._context = scope, send, context
        self._headers = Headers(scope=scope)
        said = self._headers.get(REQUEST_ID, "")
        self.request_id = said if _REQUEST_ID.fullmatch(said) else uuid.uuid4().hex
        self._status: int | None = None
        self._began = time.perf_counter()
        self._audit = Audit()
        self.trace = RequestTrace.of(self._headers.getlist("traceparent"))
        scope["taskflow.audit"] = self._audit
        scope["taskflow.request_id"] = self.request_id

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        try:
            if self._context.loopback_only and (refusal := _foreign(self._headers)):
                await self._answer(refusal, receive)
                return
            await app(self._scope, receive, self._sending)
        except ClientDisconnect as left:
            reason = str(left) or "its body had not come"
            log.info("the client left", action="request_left", reason=reason)
        except Exception:  # the last place that can answer
            log.exception("a request failed", action="request_failed", path=self._scope["path"])
            if self._status is None:
                await self._answer(internal_error(), receive)
        except asyncio.CancelledError:
            if not self._context.stopping:
                raise
            if self._status is None:  # the time that a stopping process gives is over
                detail = "this process stops, and the request took too long: ask again"
                await self._answer(unavailable("STOPPING", detail), receive)

    def over(self) -> None:
        """Count and write down what came of it."""
        route = self._scope.get("route")
        path = getattr(route, "path", "unmatched")
        method = self._scope["method"]
        status = self._status or 499  # nobody was there to be answered
        self._context.metrics.request(
            method if method in _METHODS else "other",
            path,
            status,
            time.perf_counter() - self._began,
        )
        self.trace.over(f"{method} {path}", request_id=self.request_id, status=status)
        client = self._scope.get("client")
        self._audit.write(
            method=method, route=path, status=status, client=client[0] if client else ""
        )

    async def _sending(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID] = self.request_id
        try:
            await self._send(message)
        except Exception as error:
            # The connection broke, or what came on it after the head was no HTTP any more.
            self._status = None
            raise ClientDisconnect(repr(error)) from error

    async def _answer(self, refusal: HttpRefusal, receive: Receive) -> None:
        self._audit.code = refusal.code
        page = is_console(self._scope["path"])
        answer = (
            error_page(Request(self._scope), refusal)
            if page
            else answer_of(refusal, self.request_id)
        )
        await answer(self._scope, receive, self._sending)


def _foreign(headers: Headers) -> HttpRefusal | None:
    """What a browser sends for a page of somebody else.

    Without authentication a page that a person of this machine looks at could use the API: by a
    name of its own that leads here, or by a form.
    """
    named = {"Host": f"//{headers.get('host', '')}", "Origin": headers.get("origin")}
    for name, url in named.items():
        if url is not None and not _is_loopback(url):
            detail = f"the API runs without authentication, and this {name} is not of this machine"
            return HttpRefusal(403, "FOREIGN_ORIGIN", detail)
    return None


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
