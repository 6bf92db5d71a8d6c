"""The console as people use it: a whole app, workers that run tasks, a plugin that is the test."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import uvicorn
from temporalio.client import Client

from shared.settings import Settings
from starter.callers import TENANT_SCOPES, Scope
from tests.activities.server import RawServer, ok, raw_server
from tests.api.harness import HERE, Door, door
from tests.starter.harness import eventually_async
from worker.governor import build_governor_worker
from worker.main import build_worker, shared_parts
from worker.plugins import build_plugin_worker
from worker.recovery import build_recovery_worker
from worker.watch import build_watch_worker

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
"""What must be shown, and never be."""
SUCCESS = ok({"status": "SUCCESS"})
FAILURE = ok(
    {"status": "FAILED", "error_code": "BROKEN", "message": f"no {MARKUP}", "retryable": False}
)


@dataclass(frozen=True, slots=True)
class Stack:
    """An app with workers behind it; `url` is where browsers find it."""

    door: Door
    client: Client
    plugin: RawServer
    url: str

    def owner(self, tenant: str | None = None, *scopes: Scope) -> "Owner":
        """A tenant, and its token with all scopes or these."""
        name = tenant or f"t{uuid4().hex[:10]}"
        headers = self.door.caller(name, *(scopes or TENANT_SCOPES))
        return Owner(self, name, headers)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who has a token of a tenant."""

    stack: Stack
    tenant: str
    headers: dict[str, str]

    @property
    def token(self) -> str:
        """What is pasted into the form."""
        return self.headers["Authorization"].removeprefix("Bearer ")

    async def register(self, task_id: str = "report", **said: Any) -> str:
        """A task that fires once a year, changed by what is said."""
        task = {
            "task_id": task_id,
            "plugin_id": "builder",
            "triggers": [{"cron": "0 2 1 1 *", "timezone": "Asia/Shanghai"}],
            "retry": {"max_attempts": 1},
        }
        http, path = self.stack.door.http, "/internal/tasks/register"
        answer = await http.post(path, headers=self.headers, json=task | said)
        assert answer.is_success, answer.text
        return task_id

    async def ran(self, task_id: str = "report", status: str = "SUCCESS") -> str:
        """The id of a run by hand that has ended so, and is in Temporal's list."""
        http, runs = self.stack.door.http, f"/internal/tasks/{task_id}/runs"
        path = f"/internal/tasks/{task_id}/trigger"
        run_id: str = (await http.post(path, headers=self.headers)).json()["run_id"]

        async def listed() -> bool:
            found = (await http.get(runs, headers=self.headers)).json()["runs"]
            return (run_id, status) in {(run["run_id"], run["status"]) for run in found}

        await eventually_async(listed, within=60)
        return run_id

    async def shown(self, task_id: str = "report") -> Any:
        """The task as the API shows it."""
        path = f"/internal/tasks/{task_id}"
        return (await self.stack.door.http.get(path, headers=self.headers)).json()


@dataclass(slots=True)
class Visitor:
    """A browser without a screen: it keeps cookies, and sends the forms that pages show."""

    http: httpx.AsyncClient
    page: str = ""
    headers: dict[str, str] = field(default_factory=lambda: {"Origin": HERE})

    async def get(self, path: str = "", **query: Any) -> httpx.Response:
        """A page below /console."""
        answer = await self.http.get(f"/console{path}", params=query)
        self.page = answer.text
        return answer

    async def post(self, path: str, **fields: str) -> httpx.Response:
        """Send a form with the token of the page that was seen last."""
        found = re.search(r'name="form_token" value="([0-9a-f]{64})"', self.page)
        form = {"form_token": found[1] if found else "", **fields}
        return await self.http.post(f"/console{path}", data=form, headers=self.headers)

    async def sign_in(self, token: str, **fields: str) -> httpx.Response:
        """By the form."""
        await self.get("/sign-in")
        return await self.post("/sign-in", token=token, **fields)

    async def told(self, answer: httpx.Response) -> str:
        """What the page says first that a write leads to."""
        assert answer.status_code == 303, answer.text
        self.page = (await self.http.get(answer.headers["location"])).text
        found = re.search(r'<p class="done" role="status">(.*?)</p>', self.page)
        return unescape(found[1]) if found else ""


@asynccontextmanager
async def visitor(stack: Stack, owner: Owner | None = None) -> AsyncIterator[Visitor]:
    """Somebody new, signed in as the owner if there is one."""
    transport = httpx.ASGITransport(stack.door.app)
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
        made = Visitor(http)
        if owner:
            assert (await made.sign_in(owner.token)).status_code == 303
            await made.get()
        yield made


@asynccontextmanager
async def stack(temporal: Client, folder: Path, **settings: Any) -> AsyncIterator[Stack]:
    """Everything, on the session's server and a task queue of its own."""
    queue = f"console-{uuid4().hex[:8]}"
    async with AsyncExitStack() as exits:
        plugin = await exits.enter_async_context(raw_server())
        known = Settings(task_queue=queue, plugin_url=plugin.url)
        parts = await exits.enter_async_context(shared_parts(temporal, known))
        for worker in (
            build_governor_worker(temporal, known, parts.capacity),
            build_recovery_worker(parts),
            build_worker(parts),
            build_plugin_worker(parts),
            build_watch_worker(temporal, known),
        ):
            await exits.enter_async_context(worker)
        opened = await exits.enter_async_context(
            door(temporal, folder, task_queue=queue, temporal_ui_url="http://127.0.0.1:8233")
        )
        url = await exits.enter_async_context(_served(opened))
        yield Stack(opened, temporal, plugin, url)


class _Server(uvicorn.Server):
    """uvicorn inside of a test: signals are none of its business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _served(opened: Door) -> AsyncIterator[str]:
    """The app on a port of this machine, for a real browser."""
    config = uvicorn.Config(opened.app, lifespan="off", log_config=None, access_log=False)
    server = _Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
