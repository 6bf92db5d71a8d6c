"""Starting the real binary as a user would, and finding every process that came of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole.marked import Marked


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[Marked]:
    """A launcher whose processes carry a mark in their environment; survivors are killed."""
    launcher = Marked(tmp_path)
    yield launcher
    launcher.kill_survivors()
