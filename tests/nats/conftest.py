"""One nats-server for all tests that leave it running."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.nats.harness import Place, place_on
from tests.nats.server import NatsServer, running


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server with JetStream on files."""
    with running(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
async def place(nats_server: NatsServer) -> AsyncIterator[Place]:
    """A stream that no other test knows."""
    await nats_server.serving()
    async with place_on(nats_server.url) as place:
        yield place
