"""`taskflow` commands as processes of their own, against one server, for one tenant."""

import asyncio
import atexit
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tests.starter.forked import Forker, forking

TASKFLOW = Path(sys.executable).with_name("taskflow")
OWN = ("TEMPORAL_", "TASKFLOW_", "NO_COLOR", "FORCE_COLOR", "COLUMNS")

Found = TypeVar("Found")


@cache
def _forker() -> Forker:
    """What commands of this test run are forked from, until it ends."""
    stack = ExitStack()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskflow-tests-")))
    atexit.register(stack.close)
    return stack.enter_context(forking(folder))


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which holds one JSON document and nothing else."""
        return json.loads(self.out)


@dataclass
class Cli:
    """Runs commands in `folder` with `environment` on top of a clean one."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Ended:
        """`taskflow ...`; no command leaves a traceback, whatever happens to it."""
        code, out, err = _forker().run(
            arguments, cwd=self.folder, env=self.env(**environment), stdin=stdin
        )
        assert "Traceback" not in err
        return Ended(code, out, err)

    def ok(self, *arguments: str, stdin: str = "") -> str:
        """Standard output of a command that is expected to work and to be silent otherwise."""
        ended = self.run(*arguments, stdin=stdin)
        assert (ended.code, ended.err) == (0, "")
        return ended.out

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """The document of a command that is expected to work."""
        return json.loads(self.ok(*arguments, "--json", stdin=stdin))

    def env(self, **environment: str) -> dict[str, str]:
        """The whole environment of a command."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        return {**inherited, **self.environment, **environment}

    def file(self, name: str, text: str) -> str:
        """Write a task file and give back its name."""
        (self.folder / name).write_text(text)
        return name


def eventually(look: Callable[[], Found], *, within: float = 30.0) -> Found:
    """The first answer of `look` that is true; Temporal's lists lag behind its truth."""
    end, pause = time.monotonic() + within, 0.1
    while not (found := look()):
        assert time.monotonic() < end, f"still {found!r} after {within} s"
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)  # a look may be a process or a list of Temporal's: it costs
    return found


async def eventually_async(look: Callable[[], Awaitable[object]], *, within: float = 30.0) -> None:
    """Return once `look` answers something true."""
    end = time.monotonic() + within
    while not (found := await look()):
        assert time.monotonic() < end, f"still {found!r} after {within} s"
        await asyncio.sleep(0.1)
