"""One sandbox for the tests that only talk to it; it must end without a word on stderr."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from sandbox.client import SandboxClient
from tests.sandbox.harness import Sandbox, running


@pytest.fixture(scope="package")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox process; tests keep apart by plugin and key."""
    with running(tmp_path_factory.mktemp("sandbox") / "log.jsonl") as sandbox:
        yield sandbox
        assert sandbox.stop() == (0, "")


@pytest.fixture(scope="package")
async def control(shared_sandbox: Sandbox) -> AsyncIterator[SandboxClient]:
    """The control client; one for all tests, since making one takes longer than most tests."""
    async with SandboxClient(shared_sandbox.url) as client:
        yield client


@pytest.fixture
async def sandbox(control: SandboxClient) -> SandboxClient:
    """The control client of a sandbox whose knobs and memory are fresh."""
    await control.reset()
    return control


@pytest.fixture(scope="package")
async def http(shared_sandbox: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    """A plain HTTP client on the sandbox."""
    async with httpx.AsyncClient(base_url=shared_sandbox.url, timeout=5) as client:
        yield client
