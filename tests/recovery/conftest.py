"""A tenant of its own for every test, on the session's server."""

from collections.abc import AsyncIterator

import httpx
import pytest
from temporalio.client import Client

from tests.activities.server import RawServer, raw_server
from tests.recovery.harness import Recovery
from worker.main import http_client


@pytest.fixture(scope="package")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """The product's own HTTP client."""
    async with http_client() as made:
        yield made


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """A notification service made of bytes."""
    async with raw_server() as served:
        yield served


@pytest.fixture
async def idle(temporal: Client, server: RawServer, http: httpx.AsyncClient) -> Recovery:
    """Everything, but no worker."""
    return Recovery(temporal, server, http)


@pytest.fixture
async def recovery(idle: Recovery) -> AsyncIterator[Recovery]:
    """Everything, with workers."""
    async with idle.working():
        yield idle
