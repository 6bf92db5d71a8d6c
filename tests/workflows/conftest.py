"""One worker for all workflow tests; they keep apart by task id."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from tests.workflows.harness import Runs


@pytest.fixture(scope="session")
async def runs(temporal: Client) -> AsyncIterator[Runs]:
    """Starts runs of scripted tasks, with a worker that takes them up."""
    runs = Runs(temporal)
    async with runs.worker():
        yield runs
