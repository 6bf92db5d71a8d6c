"""Small real child processes, and whether a process is gone."""

import asyncio
import os
import sys
import time
from pathlib import Path

from starter.dev.child import Child

PRELUDE = "import os, signal, subprocess, sys, time; from pathlib import Path; ready = Path({!r})\n"
HANGING = "signal.signal(signal.SIGTERM, signal.SIG_IGN); ready.touch(); time.sleep(600)"
OBEDIENT = "ready.touch(); time.sleep(600)"


def child(folder: Path, name: str, code: str, *, timeout: float = 10.0) -> Child:
    """A Python child that is ready when it has touched the file `ready` of its code."""
    mark = folder / f"{name}.ready"

    async def ready() -> bool:
        return await asyncio.to_thread(mark.exists)

    return Child(
        name=name,
        argv=(sys.executable, "-c", PRELUDE.format(str(mark)) + code),
        env=dict(os.environ),
        ready=ready,
        timeout=timeout,
        prepare=lambda: mark.unlink(missing_ok=True),
    )


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and waits for a parent to notice does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def children_of(pid: int) -> list[int]:
    """The direct children of a process that runs."""
    return [
        int(number)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for number in (task / "children").read_text().split()
    ]


def all_gone(*pids: int, within: float = 3.0) -> bool:
    """Whether all end within so many seconds."""
    deadline = time.monotonic() + within
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
