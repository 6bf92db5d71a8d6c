"""Workers for all workflow tests, one of each kind; the tests keep apart by task id."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from tests.admission.harness import Governed
from tests.workflows.harness import Runs


@pytest.fixture(scope="session")
async def runs(temporal: Client) -> AsyncIterator[Runs]:
    """Starts runs of scripted tasks, with a worker that takes them up."""
    runs = Runs(temporal)
    async with runs.worker():
        yield runs


@pytest.fixture(scope="session")
async def governed(temporal: Client) -> AsyncIterator[Governed]:
    """Starts runs that have governors, and to all of which somebody listens."""
    governed = Governed(temporal)
    governed.outside.listening = True
    async with governed.working():
        yield governed
