"""Workers for runs of `OneCall` and for calls of plugins; the plugins are the tests themselves."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client
from temporalio.worker import Worker

from shared.settings import Settings
from tests.activities.server import RawServer, http, raw_server
from tests.executions.harness import ACCEPTED, Executions
from tests.executions.one_call import OneCall
from worker.build import workflow_runner
from worker.main import Parts, shared_parts
from worker.plugins import build_plugin_worker


@pytest.fixture(scope="package")
async def runtime() -> AsyncIterator[RawServer]:
    """A plugin runtime made of bytes, for all tests here."""
    async with raw_server() as served:
        yield served


@pytest.fixture(scope="package")
async def queue(temporal: Client) -> AsyncIterator[str]:
    """A task queue whose runs a worker takes up."""
    name = f"executions-{uuid4()}"
    async with Worker(
        temporal, task_queue=name, workflows=[OneCall], workflow_runner=workflow_runner()
    ):
        yield name


@pytest.fixture(scope="package")
async def parts(temporal: Client, queue: str, runtime: RawServer) -> AsyncIterator[Parts]:
    """What the product's own worker for plugin calls is made of."""
    settings = Settings(task_queue=queue, plugin_url=runtime.url)
    async with shared_parts(temporal, settings) as made:
        yield made


@pytest.fixture(scope="package")
async def _plugin_worker(parts: Parts) -> AsyncIterator[None]:
    async with build_plugin_worker(parts):
        yield


@pytest.fixture
def executions(
    temporal: Client, queue: str, runtime: RawServer, _plugin_worker: None
) -> Executions:
    """Starts runs; their plugin accepts whatever comes, until a test says otherwise."""
    runtime.answer = ACCEPTED
    runtime.stopped = http("200 OK")
    return Executions(temporal, queue, runtime)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What happens here on purpose would fill the log."""
    with capture_logs():
        yield
