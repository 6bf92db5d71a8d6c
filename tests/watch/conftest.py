"""One server and one worker for the watch's own tests: it looks at every schedule of a server."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from domain.policy import Policy
from tests.conftest import start_temporal
from tests.watch.harness import Watched
from worker.watch import build_watch_worker


@pytest.fixture(scope="package")
async def watched(policy: Policy) -> AsyncIterator[Watched]:
    """A server with a worker for runs, registries and the watch, whose ticks the test makes."""
    async with await start_temporal() as environment:
        watched = Watched(environment.client, policy)
        async with (
            watched.runs.worker(),
            build_watch_worker(environment.client, watched.settings),
        ):
            yield watched


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Ticks tell the log a line each, and these tests make hundreds."""
    with capture_logs():
        yield
