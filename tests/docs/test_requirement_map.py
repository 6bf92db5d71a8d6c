"""The page that leads from the requirement to the code leads somewhere."""

import re

from domain.task import Flags
from shared.settings import ROOT

PAGE = (ROOT / "docs/requirement-map.md").read_text()
MODULES = (
    "scheduler/cron_engine",
    "scheduler/planner",
    "executor/runtime_client",
    "monitoring/task_metrics_collector",
    "ops/sla_notifier",
)
"""Of the requirement; none is a path of ours."""


def test_every_path_on_the_page_exists() -> None:
    """Files and folders, and nothing that once was there."""
    named = {
        name.strip("/")
        for name in re.findall(r"`([a-z_]+(?:/[a-z0-9_.-]+)+/?|[a-z]+/)`", PAGE)
        if name not in MODULES
    }
    assert len(named) > 50
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_every_module_of_the_requirement_has_its_place() -> None:
    """Each in a row of its own, with a path beside it."""
    for module in MODULES:
        [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{module}`")]
        assert re.search(r"\| `[a-z_]+/[a-z_/]+\.py`", row), module
    assert Flags.__name__ in PAGE
