"""One worker for runs and governors; tests keep apart by tenant."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client

from tests.admission.harness import Governed


@pytest.fixture(scope="session")
async def governed(temporal: Client) -> AsyncIterator[Governed]:
    """Starts governed runs, with workers that take them up."""
    governed = Governed(temporal)
    async with governed.working():
        yield governed


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs ask again and governors look around after seconds, where the product takes tens."""
    monkeypatch.setattr("workflows.admission.FIRST_WAIT", timedelta(seconds=2))
    monkeypatch.setattr("workflows.admission.UNAVAILABLE_WAIT", timedelta(seconds=1))
    monkeypatch.setattr("workflows.admission.CAPACITY_WAIT", timedelta(seconds=1))
    monkeypatch.setattr("workflows.governor.SWEEP_AT_MOST_EVERY", timedelta(seconds=2))
    monkeypatch.setattr("workflows.governor.FRESH", 1.0)
    monkeypatch.setattr("activities.governor.SETTLING", timedelta(seconds=2))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What happens here on purpose would fill the log."""
    with capture_logs():
        yield
