"""One app with its workers, and one browser, for all tests here."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, async_playwright
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from structlog.typing import EventDict
from temporalio.client import Client

from tests.console.harness import SUCCESS, Owner, Stack, Visitor, stack, visitor
from tests.debian import debian_program


@pytest.fixture(scope="package")
async def running(
    temporal: Client, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """The product, with a plugin that succeeds until a test says otherwise."""
    async with stack(temporal, tmp_path_factory.mktemp("console")) as made:
        yield made


@pytest.fixture
def console(running: Stack) -> Stack:
    """The same, as it was at the beginning."""
    running.plugin.answer = SUCCESS
    return running


@pytest.fixture
def ann(console: Stack) -> Owner:
    """Somebody of a tenant that no other test knows, who may everything there."""
    return console.owner()


@pytest.fixture
async def visits(console: Stack, ann: Owner) -> AsyncIterator[Visitor]:
    """Ann's browser, without a screen."""
    async with visitor(console, ann) as made:
        yield made


@pytest.fixture(scope="package")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's, headless."""
    program = debian_program("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        await browser.close()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    """What is logged meanwhile; what happens here on purpose would fill the log."""
    with capture_logs(processors=[merge_contextvars]) as lines:
        yield lines
