"""What docs/plugin-authors.md shows is what there is, and works."""

import re
from pathlib import Path
from typing import Any

import pytest

from shared.settings import ROOT
from tests.pluginkit.harness import OLD

PAGE = (ROOT / "docs/plugin-authors.md").read_text()
EXAMPLE, TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_is_the_file_that_is_run() -> None:
    """All but its docstring, which tells how."""
    source = (ROOT / "examples/plugin.py").read_text()
    assert source.split('"""', 2)[2].strip() == EXAMPLE.strip()


async def test_the_test_that_it_shows_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an author would write it, on the example."""
    (tmp_path / "secret").write_text(OLD)
    monkeypatch.setenv("PLUGIN_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("SCHEDULER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PLUGIN_STORE", str(tmp_path / "plugin.sqlite"))
    names: dict[str, Any] = {}
    exec(EXAMPLE + TEST, names)  # noqa: S102 - the page is ours
    await names["test_it_counts_rows"]()
