"""Plugins on real sockets, and calls as the scheduler makes them."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote
from uuid import uuid4

import httpx
import uvicorn
from starlette.types import ASGIApp

from shared.webhooks import Secret, request_id, sign

OLD, NEW = "whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRETS = (Secret.parse(OLD),)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals stay those of the test run."""
        yield


@asynccontextmanager
async def served(app: ASGIApp, lifespan: Literal["on", "off"] = "on") -> AsyncIterator[str]:
    """The base URL of an app that a real server runs, until it is shut down in order."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server(uvicorn.Config(app, log_level="error", lifespan=lifespan))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


def new_key() -> str:
    """The key of a run that no other test has."""
    return f"run/acme/report/manual/{uuid4()}"


def body_of(key: str, **fields: Any) -> dict[str, Any]:
    """A valid body of an execute call, changed by fields."""
    now = datetime.now(UTC)
    return {
        "run_id": key,
        "plugin_id": "builder",
        "attempt": 1,
        "tenant_id": "acme",
        "task_id": "report",
        "params": {},
        "trigger": {"kind": "manual", "nominal_time": now.isoformat(), "payload": None},
        "deadline": (now + timedelta(seconds=30)).isoformat(),
        "heartbeat_timeout": 3.0,
        "fence": 1,
        "nonce": "n-1",
        "compensates": None,
    } | fields


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls one plugin runtime; `secrets` sign, none leaves the calls unsigned."""

    http: httpx.AsyncClient
    url: str
    secrets: Sequence[Secret] = SECRETS

    async def post(
        self, content: bytes, key: str, *, plugin_id: str = "builder", **headers: str
    ) -> httpx.Response:
        """An execute call with any bytes as its body; header names with underscores."""
        signed = self._signed(request_id("execute", plugin_id, key, "1"), content)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = _about(key) | {"content-type": "application/json"} | signed | given
        return await self.http.post(
            f"{self.url}/plugin/runtime/{plugin_id}/execute",
            content=content,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        )

    async def call(
        self, key: str | None = None, *, plugin_id: str = "builder", **fields: Any
    ) -> httpx.Response:
        """A valid execute call; fields are those of its body."""
        key = key or new_key()
        content = json.dumps(body_of(key, **{"plugin_id": plugin_id} | fields)).encode()
        return await self.post(content, key, plugin_id=plugin_id)

    async def result(self, key: str | None = None, **fields: Any) -> Any:
        """The result of a call that must succeed at once."""
        answer = await self.call(key, **fields)
        said = answer.json()
        assert (answer.status_code, said.get("status")) == (200, "SUCCESS"), said
        return said["result"]

    async def failure(self, key: str | None = None, **fields: Any) -> tuple[str, bool]:
        """The error code of a call that must fail, and whether it may be tried again."""
        answer = await self.call(key, **fields)
        said = answer.json()
        assert (answer.status_code, said.get("status")) == (200, "FAILED"), said
        return said["error_code"], said["retryable"]

    async def cancel(
        self, key: str, *, plugin_id: str = "builder", about: str | None = None
    ) -> httpx.Response:
        """The word to stop; `about`: the key that was signed, if it is another."""
        headers = _about(key) | self._signed(request_id("cancel", plugin_id, about or key), b"")
        path = f"/plugin/runtime/{plugin_id}/executions/{quote(key, safe='')}"
        return await self.http.delete(f"{self.url}{path}", headers=headers)

    def _signed(self, message_id: str, content: bytes) -> dict[str, str]:
        if not self.secrets:
            return {}
        return sign(self.secrets, message_id, content, now=datetime.now(UTC))


def _about(key: str) -> dict[str, str]:
    visible = key.isascii() and key.isprintable() and " " not in key
    return {"idempotency-key": key if visible else quote(key), "traceparent": TRACEPARENT}


def problem(answer: httpx.Response) -> tuple[int, str]:
    """The status and code of a refusal, after a look at its form."""
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == answer.status_code
    assert said["title"]
    assert said["detail"]
    assert "Traceback" not in answer.text
    return answer.status_code, said["code"]


async def overtaken(caller: Caller, key: str, fence: int) -> None:
    """Until a plugin has seen a higher fence for the key: a call with this one is stale then."""
    while True:
        # One that comes too early waits for the work: it hangs up, and nothing has changed.
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                answer = await caller.call(key, fence=fence)
                assert problem(answer) == (409, "STALE_FENCE")
                return


async def until(true: Any, seconds: float = 5.0) -> None:
    """Until a condition holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to hold"
        await asyncio.sleep(0.01)


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and see it off."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
