"""A server and workers for all workflow tests, one of each kind; they keep apart by task id."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from shared.search_attributes import register_search_attributes
from tests.admission.harness import Governed
from tests.conftest import EXACT_TIMERS, TEMPORAL_BINARY
from tests.workflows.harness import Runs


@pytest.fixture(scope="session")
async def runs(temporal: Client) -> AsyncIterator[Runs]:
    """Starts runs of scripted tasks, with a worker that takes them up."""
    runs = Runs(temporal)
    async with runs.worker():
        yield runs


@pytest.fixture(scope="session")
async def skipping() -> AsyncIterator[Runs]:
    """Runs on a server that skips the time in which nothing happens."""
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=str(TEMPORAL_BINARY),
        dev_server_log_level="never",
        dev_server_extra_args=[
            *EXACT_TIMERS,
            "--dynamic-config-value",
            "frontend.WorkflowTimeSkippingEnabled=true",
        ],
        data_converter=pydantic_data_converter,
    ) as environment:
        await register_search_attributes(environment.client)
        runs = Runs(environment.client)
        async with runs.worker():
            yield runs


@pytest.fixture(scope="session")
async def governed(temporal: Client) -> AsyncIterator[Governed]:
    """Starts runs that have governors, and to all of which somebody listens."""
    governed = Governed(temporal)
    governed.outside.listening = True
    async with governed.working():
        yield governed
