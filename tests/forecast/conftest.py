"""One server and its workers for these tests: a forecast looks at every governor of a server."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client

from domain.policy import Policy
from tests.conftest import start_temporal
from tests.forecast.harness import Ahead
from worker.watch import build_watch_worker


@pytest.fixture(scope="package")
async def ahead(policy: Policy) -> AsyncIterator[Ahead]:
    """Workers for runs, governors, registries and the forecast; nothing looks by itself."""
    async with await start_temporal() as environment:
        client: Client = environment.client
        ahead = Ahead(client, policy)
        with capture_logs():
            async with ahead.working(), build_watch_worker(client, ahead.settings):
                yield ahead
            await ahead.governors.close()
