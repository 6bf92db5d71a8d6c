"""The API as tests use it: a whole app behind httpx, on a real Temporal server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from temporalio.client import Client

from shared.settings import Settings
from shared.token_file import change_tokens
from shared.tokens import FOR_EVER, new_token
from starter.api.app import create_app
from starter.api.context import Context, context_with
from starter.api.link import TemporalLink
from starter.authentication import authenticator_of
from starter.callers import Scope

PATIENCE = 10.0
HERE = "http://127.0.0.1"


@dataclass(frozen=True, slots=True)
class Door:
    """An app, and who calls it. `http` sends no token."""

    app: FastAPI
    context: Context
    http: httpx.AsyncClient

    def caller(self, tenant_id: str | None, *scopes: Scope) -> dict[str, str]:
        """The header of a new token: of a tenant with these scopes, or of an admin."""
        token, shown = new_token(
            tenant_id,
            scopes if tenant_id else [Scope.ADMIN],
            now=datetime.now(UTC),
            lives=FOR_EVER,
        )
        path = self.context.settings.tokens_file
        assert path is not None
        change_tokens(path, lambda tokens: (tokens.with_token(token), None))
        return {"Authorization": f"Bearer {shown}"}


@asynccontextmanager
async def door(
    temporal: Client | None, folder: Path, *, authenticated: bool = True, **settings: Any
) -> AsyncIterator[Door]:
    """An API process's app, with tokens in a file, or with nobody asked who they are.

    `temporal` None: whatever server the environment names.
    """
    known = {"tokens_file": folder / f"{uuid4()}.json"} if authenticated else {}
    configured = Settings.model_validate({"temporal_timeout": PATIENCE, **known, **settings})
    patience = configured.temporal_timeout
    link = None if temporal is None else TemporalLink(patience, lambda _: _given(temporal))
    context = context_with(
        configured,
        authenticator_of(configured, loopback=True),
        temporal=link,
        registry=CollectorRegistry(),
    )
    app = create_app(context)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=HERE) as http,
    ):
        yield Door(app, context, http)


async def _given(client: Client) -> Client:
    return client
