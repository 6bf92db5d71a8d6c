"""One scene for the tests that share it: its processes take a while to start."""

from collections.abc import Iterator

import pytest
from temporalio.client import Client

from tests.tracing.receiver import receiving
from tests.tracing.scene import Scene, scene


@pytest.fixture(scope="session")
def traced(
    temporal: Client, plugin_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """An API that tells of spans; each test starts the worker that it is about."""
    folder = tmp_path_factory.mktemp("tracing")
    address = temporal.service_client.config.target_host
    with receiving() as receiver, scene(folder, receiver, address, plugin_url) as found:
        yield found
