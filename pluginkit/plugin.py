"""A plugin: its actions, what it shares with the scheduler, and the ASGI app that runs it."""

import inspect
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
from starlette.types import ASGIApp

from pluginkit.app import Door, create_app
from pluginkit.executions import Executions
from pluginkit.reports import Reporter
from pluginkit.requests import PLUGIN_ID
from pluginkit.secrets import Secrets, secrets_of
from pluginkit.stores import MemoryStore, Store
from pluginkit.work import Action

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ACCEPT_AFTER = 5.0
MOST_AT_ONCE = 1000
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Registered:
    """An action and how long a call may wait for it."""

    action: Action
    accept_after: float


class Plugin:
    """One runtime of one or more plugins."""

    def __init__(
        self,
        secret: str | Path | Sequence[str] | None = None,
        scheduler_url: str | None = None,
        *,
        unsigned: bool = False,
        store: Store | None = None,
        accept_after: float = ACCEPT_AFTER,
        most_at_once: int = MOST_AT_ONCE,
        grace: float = GRACE_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Errors: `ValueError` that says what to do, `OSError` for a file that cannot be read.

        - `secret`: `whsec_...`, several while they are exchanged, or the `Path` of a file with them
          that is read again when it changes. Without one everybody may call: `unsigned` says so.
        - `scheduler_url`: where reports go. Without it no call is left before its work has ended.
        - `store`: what is remembered of keys; in memory if left out, so that work may be done twice
          after a restart. See `SqliteStore`.
        - `accept_after`: seconds after which a call is answered 202, and reports follow.
        - `most_at_once`: pieces of work; the call of one more is answered 503.
        - `grace`: seconds that accepted work may go on when the server is shut down.
        - `transport`: how reports travel, in tests.
        """
        if (secret is None) != unsigned:
            raise ValueError(
                "give the secret that the scheduler signs calls with, or unsigned=True if anybody"
                " who reaches this plugin may run it; not both"
            )
        if scheduler_url is not None and not _is_http(scheduler_url):
            raise ValueError(f"the scheduler_url {scheduler_url!r} is no http or https URL")
        self._secrets: Secrets = tuple if secret is None else secrets_of(secret)
        self._url = scheduler_url
        self._store: Store = MemoryStore() if store is None else store
        self._accept_after = accept_after
        self._most = most_at_once
        self._grace = grace
        self.transport = transport
        self._actions: dict[str, Registered] = {}
        self._executions: Executions | None = None

    @property
    def secrets(self) -> Secrets:
        """Those that are in force now; none when calls go unsigned."""
        return self._secrets

    def action(
        self, plugin_id: str, *, long: bool = False, accept_after: float | None = None
    ) -> Callable[[Action], Action]:
        """Register what a plugin does; the function gets a `Call` and gives back any JSON.

        `long` accepts each call at once. Errors: `ValueError`, `TypeError`.
        """
        if not PLUGIN_ID.fullmatch(plugin_id):
            raise ValueError(f"the plugin id {plugin_id!r} is not {PLUGIN_ID.pattern}")
        if plugin_id in self._actions:
            raise ValueError(f"the plugin {plugin_id!r} has an action already")
        if long and self._url is None:
            raise ValueError("long work is reported on: give the Plugin a scheduler_url")
        patience = self._accept_after if accept_after is None else accept_after

        def register(action: Action) -> Action:
            if not inspect.iscoroutinefunction(action):
                raise TypeError(
                    f"the action of {plugin_id!r} is no async function: use asyncio.to_thread in"
                    " one for work that blocks"
                )
            self._actions[plugin_id] = Registered(action, 0.0 if long else patience)
            return action

        return register

    def asgi(self) -> ASGIApp:
        """The app for any ASGI server. It runs in one event loop of one process."""

        @asynccontextmanager
        async def lifespan(_: object) -> "AsyncIterator[None]":
            yield
            await self.close()

        return create_app(Door(self._secrets, self._find, self._running), lifespan)

    async def close(self) -> None:
        """What the server's shutdown does: end the work, tell of it, close the store."""
        if self._executions:
            await self._executions.close(self._grace)
            self._executions = None

    def _find(self, plugin_id: str) -> tuple[Action, float] | None:
        found = self._actions.get(plugin_id)
        return (found.action, found.accept_after) if found else None

    def _running(self) -> Executions:
        """Made in the event loop that serves, whether or not its server knows lifespans."""
        if self._executions is None:
            reporter = Reporter(self._url, self._secrets, self.transport) if self._url else None
            self._executions = Executions(self._store, reporter, self._most)
        return self._executions


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
