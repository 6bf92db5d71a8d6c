"""A server and workers for all workflow tests, one of each kind; they keep apart by task id."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from shared.search_attributes import register_search_attributes
from tests.admission.harness import Governed
from tests.conftest import TEMPORAL_BINARY, start_temporal
from tests.workflows.harness import Runs

_EXACT = ["--dynamic-config-value", 'history.timerProcessorMaxTimeShift="1ms"']
"""Timers fire at their time; else they may be a second late, lest servers' clocks differ."""


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Client]:
    """A client of a server whose timers are exact: runs wait for little else."""
    async with await start_temporal(dev_server_extra_args=_EXACT) as environment:
        yield environment.client


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
            *_EXACT,
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
