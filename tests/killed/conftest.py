"""One stack of processes for the package; the kill comes first, and heals while others test."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.killed.scene import Scene
from tests.killed.stack import Stack, stack_in
from tests.killed.storm import Storm, play

_figures: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured stands at the end of the test run."""
    for figure in _figures:
        terminalreporter.write_line(figure)


@pytest.fixture(scope="package")
def measured() -> Callable[[str], None]:
    """Takes a sentence with a figure, to be shown."""
    return _figures.append


@pytest.fixture(scope="package")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Server, sandbox, and the workers that tests start."""
    async with stack_in(tmp_path_factory.mktemp("killed")) as stack:
        yield stack


@pytest.fixture(scope="package")
async def scene(stack: Stack) -> Scene:
    """A worker was killed with runs at every step; another has begun to look after them."""
    scene = Scene(stack)
    await scene.play()
    return scene


@pytest.fixture(scope="package")
async def storm(scene: Scene) -> Storm:
    """A plugin that was ill for all, and many that failed once; two workers got over it."""
    return await play(scene.stack, runs=200)
