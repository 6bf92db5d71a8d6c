"""One stack for all tests here, and the story that it has lived through before they look."""

from collections.abc import AsyncIterator

import pytest
from pytest_httpserver import HTTPServer

from tests.codec.stack import Stack, stack
from tests.codec.story import Story, live


@pytest.fixture(scope="package")
async def encrypted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Everything with keys."""
    with HTTPServer(host="127.0.0.1") as server:
        async with stack(tmp_path_factory.mktemp("codec"), server) as made:
            yield made


@pytest.fixture(scope="package")
async def story(encrypted: Stack) -> Story:
    """What commands said while tasks were registered, ran, failed, were undone and held."""
    return live(encrypted)
