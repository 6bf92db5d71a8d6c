"""A deployment without workers, which the test starts."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.versions.harness import Deployed
from tests.watch.processes import QUIET


@pytest.fixture
async def deployed(temporal: Client, plugin_url: str, tmp_path: Path) -> AsyncIterator[Deployed]:
    """On a task queue of its own, with workers that do nothing but what they are asked for."""
    name = f"v{uuid.uuid4().hex[:8]}"
    environment = {
        "TEMPORAL_ADDRESS": temporal.service_client.config.target_host,
        "TASKFLOW_TASK_QUEUE": name,
        "TASKFLOW_PLUGIN_URL": plugin_url,
        **QUIET,
    }
    found = Deployed(temporal, name, tmp_path, environment)
    yield found
    for worker in found.workers:
        if worker.process.poll() is None:
            worker.kill()
