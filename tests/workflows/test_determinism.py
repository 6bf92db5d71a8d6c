"""Workflow code, and what it is made of, reads no clock, rolls no dice and touches nothing outside.

Temporal's sandbox does not watch it (see `worker.build`): its source is read instead.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import ROOT

FORBIDDEN_MODULES = {
    *("asyncio.subprocess", "http", "httpx", "multiprocessing", "os", "pathlib", "random"),
    *("secrets", "socket", "subprocess", "tempfile", "threading", "time", "urllib", "uuid"),
}
FORBIDDEN_CALLS = {
    *("now", "utcnow", "today", "open", "input", "print", "hash", "id", "to_thread"),
    *("run_in_executor", "create_subprocess_exec", "getenv", "urandom"),
}
"""Whatever they are called on, but for `workflow.now` and our own `Horizon.of`-like builders."""
ALLOWED = {"workflow.now"}
ALLOWED_MODULES = {"urllib.parse"}
"""Of texts alone; what reaches out is `urllib.request`."""
FILES = sorted([*ROOT.glob("workflows/*.py"), *ROOT.glob("domain/*.py")])


def offences(source: str) -> Iterator[str]:
    """What a module imports or calls that may answer differently when a history is replayed."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        yield from (
            f"line {getattr(node, 'lineno', 0)}: imports {name}"
            for name in names
            if {name, name.split(".")[0]} & FORBIDDEN_MODULES
            if name not in ALLOWED_MODULES
        )
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called not in ALLOWED and called.split(".")[-1] in FORBIDDEN_CALLS:
                yield f"line {node.lineno}: calls {called}"


@pytest.mark.parametrize("file", FILES, ids=[f"{f.parent.name}/{f.name}" for f in FILES])
def test_a_replay_gives_the_same(file: Path) -> None:
    """Time and chance are arguments, or come from Temporal."""
    assert list(offences(file.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import random",
        "from datetime import datetime\nx = datetime.now()",
        "import time\ntime.sleep(1)",
        "from uuid import uuid4",
        "x = hash('a')",
        "open('/etc/hosts')",
    ],
)
def test_what_a_replay_would_answer_differently_is_found(source: str) -> None:
    """The test above can fail."""
    assert list(offences(source))
