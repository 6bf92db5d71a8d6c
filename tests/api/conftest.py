"""An app against the session's Temporal server."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from structlog.typing import EventDict
from temporalio.client import Client

from tests.api.harness import Door, door
from tests.executions.conftest import _plugin_worker, executions, parts, queue, runtime

__all__ = ["_plugin_worker", "executions", "parts", "queue", "runtime"]


@pytest.fixture(scope="package")
async def api(temporal: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """One app for all tests here that change nothing of it."""
    async with door(temporal, tmp_path_factory.mktemp("api")) as opened:
        yield opened


@pytest.fixture(scope="package")
async def open_api(
    temporal: Client, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """An app that asks nobody who they are."""
    async with door(
        temporal, tmp_path_factory.mktemp("open"), authenticated=False, tenant="home"
    ) as opened:
        yield opened


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test knows."""
    return f"t{uuid4().hex[:10]}"


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """What is logged meanwhile; what happens here on purpose would fill the log."""
    with capture_logs(processors=[merge_contextvars]) as lines:
        yield lines
