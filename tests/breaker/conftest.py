"""One worker for breakers; tests keep apart by plugin."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client

from domain.notices import NotifyInput
from tests.breaker.harness import Scene, recovering

Recovery = tuple[str, list[NotifyInput]]


@pytest.fixture(scope="session")
async def recovery(temporal: Client) -> AsyncIterator[Recovery]:
    """A task queue with a worker for breakers, and what people were told by it."""
    queue = f"test-{uuid4()}"
    async with recovering(temporal, queue) as told:
        yield queue, told


@pytest.fixture
def scene(temporal: Client, recovery: Recovery) -> Scene:
    """A plugin of its own."""
    queue, told = recovery
    return Scene(temporal, queue, told)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes tens of seconds in the product takes a few here."""
    monkeypatch.setattr("domain.breaker.FIRST_OPEN_S", 1.0)
    monkeypatch.setattr("domain.breaker.LEASE_S", 3.0)
    monkeypatch.setattr("shared.plugin_calls.LEASE_S", 3.0)
    monkeypatch.setattr("domain.breaker.PROBE_WAIT_S", (0.5, 2.0))
    monkeypatch.setattr("shared.breakers.LOOK_SECONDS", 1.0)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[dict[str, object]]]:
    """What happens here on purpose would fill the log."""
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]  # structlog's own type is that of a mutable mapping
