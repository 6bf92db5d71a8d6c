"""A command line on the session's server, and a real worker where runs have to happen."""

import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from domain.policy import Policy
from shared.settings import ROOT
from tests.starter.harness import Cli
from tests.starter.limits import Limits

QUEUE = "starter-tests"


@pytest.fixture(scope="session")
def environment(temporal: Client) -> dict[str, str]:
    """What tells a process of ours which server and task queue to use."""
    return {
        "TEMPORAL_ADDRESS": temporal.service_client.config.target_host,
        "TASKFLOW_TASK_QUEUE": QUEUE,
    }


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test knows."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def cli(environment: dict[str, str], tenant: str, tmp_path: Path) -> Cli:
    """The binary, in an empty folder, for the test's own tenant."""
    return Cli(tmp_path, {**environment, "TASKFLOW_TENANT": tenant})


@pytest.fixture(scope="session")
def worker(
    environment: dict[str, str], plugin_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """One real worker process, ready, that calls the plugins at `plugin_url`."""
    folder = tmp_path_factory.mktemp("worker")
    ready = folder / "ready"
    env = Cli(
        folder,
        {**environment, "TASKFLOW_PLUGIN_URL": plugin_url, "TASKFLOW_READY_FILE": str(ready)},
    ).env()
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "worker"], cwd=ROOT, env=env, stderr=log
        ) as process,
    ):
        end = time.monotonic() + 30
        while not ready.exists():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, "the worker is not ready after 30 s"
            time.sleep(0.05)
        yield
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
async def limits(temporal: Client, policy: Policy) -> AsyncIterator[Limits]:
    """Workers in this process that keep tenants' limits; no run is ever taken up."""
    made = Limits(temporal, policy)
    async with made.working():
        yield made
