"""One HTTP client, and plugins that a test gives something to do."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import JsonValue

from pluginkit import Call, Plugin
from tests.activities.server import RawServer, ok, raw_server
from tests.pluginkit.harness import OLD, Caller, served
from worker.main import http_client

Serve = Callable[[Plugin], AbstractAsyncContextManager[Caller]]
TAKEN = ok({"duplicate": False, "cancel_requested": False})


@pytest.fixture(scope="package")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """The client that workers call plugins with."""
    async with http_client() as made:
        yield made


@pytest.fixture
def serve(http: httpx.AsyncClient) -> Serve:
    """Runs a plugin in a real server, and calls it."""

    @asynccontextmanager
    async def serving(plugin: Plugin) -> AsyncIterator[Caller]:
        async with served(plugin.asgi()) as url:
            yield Caller(http, url)

    return serving


class Shop:
    """What plugins of tests do: it counts what was begun and done, and waits when it is told to.

    `says` is what becomes of work; `gate` lets it go on, `cleaned` lets it end when it was stopped,
    and a `deaf` one is done all the same.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.done: list[str] = []
        self.stopped: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.cleaned = asyncio.Event()
        self.cleaned.set()
        self.deaf = False
        self.says: Callable[[Call], JsonValue] = lambda call: {"n": len(self.calls)}

    async def work(self, call: Call) -> JsonValue:
        """The action."""
        self.calls.append(call)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.stopped.append(call.key)
            await self.cleaned.wait()
            if not self.deaf:
                raise
        result = self.says(call)
        self.done.append(call.key)
        return result

    def plugin(self, *, long: bool = False, **options: Any) -> Plugin:
        """A plugin `builder` that does this work."""
        plugin = Plugin(**{"secret": OLD} | options)
        plugin.action("builder", long=long)(self.work)
        return plugin


@pytest.fixture
async def shop() -> Shop:
    """Work to be done."""
    return Shop()


@pytest.fixture
async def shared(shop: Shop, serve: Serve) -> AsyncIterator[Caller]:
    """A plugin that answers every call when its work has ended."""
    async with serve(shop.plugin()) as caller:
        yield caller
        shop.gate.set()


@pytest.fixture
async def scheduler() -> AsyncIterator[RawServer]:
    """Who hears reports, and takes them until a test says otherwise."""
    async with raw_server() as heard:
        heard.answer = TAKEN
        yield heard


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What happens here on purpose would fill the log."""
    caplog.set_level(logging.DEBUG, logger="pluginkit")
