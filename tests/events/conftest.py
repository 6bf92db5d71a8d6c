"""Sinks of each test's own, and one HTTP client for all: making one costs more than most tests."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from pytest_httpserver import HTTPServer
from temporalio.client import Client

from tests.events.harness import RecordingSink, Telling
from worker.main import http_client

NewSink = Callable[[], RecordingSink]


@pytest.fixture(scope="package")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """The product's own HTTP client."""
    async with http_client() as made:
        yield made


@pytest.fixture(scope="package")
def server() -> Iterator[HTTPServer]:
    """Where sinks listen; it answers many at once."""
    with HTTPServer(threaded=True) as served:
        yield served


@pytest.fixture
def new_sink(server: HTTPServer) -> Iterator[NewSink]:
    """Makes sinks; whatever a request to them lacked fails the test."""
    made: list[RecordingSink] = []

    def make() -> RecordingSink:
        made.append(RecordingSink(f"sink-{uuid4()}", server))
        return made[-1]

    yield make
    for sink in made:
        assert sink.wrong == []


@pytest.fixture
def sink(new_sink: NewSink) -> RecordingSink:
    """A sink that takes everything until told otherwise."""
    return new_sink()


@pytest.fixture
async def telling(
    temporal: Client, http: httpx.AsyncClient, tmp_path: Path
) -> AsyncIterator[Telling]:
    """The activities of a worker; nobody listens yet."""
    made = Telling(temporal, http, tmp_path)
    yield made
    await made.activities.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries try again soon, and end soon after their last word."""
    monkeypatch.setattr("workflows.delivery.IDLE", timedelta(seconds=0.5))
    monkeypatch.setattr("activities.events.FIRST_DELAY", timedelta(seconds=0.3))
