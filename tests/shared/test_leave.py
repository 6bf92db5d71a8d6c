"""A process that was told to end does so, whoever hangs."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.settings import ROOT
from tests.starter.harness import eventually
from tests.watch.processes import process, setting
from worker.main import ENDS_WITHIN

HANGS = """
import threading
from shared.leave import leave_within

leave_within({seconds}, 7, lambda: print("the last spans"))
{then}
"""


def _ended(seconds: float, then: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HANGS.format(seconds=seconds, then=then)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_process_that_hangs_leaves_when_its_time_is_over() -> None:
    """With the code that it was given, after what is to be done before."""
    ended = _ended(0.2, "threading.Event().wait()")
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "the last spans\n", "")


def test_what_is_done_before_does_not_keep_it() -> None:
    """Also when that goes wrong."""
    ended = _ended(0.2, "del print\nthreading.Event().wait()".replace("del print", "print = None"))
    assert (ended.returncode, ended.stdout) == (7, "")


def test_a_process_that_ends_by_itself_is_not_kept() -> None:
    """The time is an end, and not a pause."""
    began = time.monotonic()
    ended = _ended(600, "")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert time.monotonic() - began < 30


@pytest.mark.soak
async def test_a_worker_ends_though_temporal_hangs(tmp_path: Path) -> None:
    """Its server stands still: connections are there, and nobody answers on them."""
    place = setting(tmp_path, "http://127.0.0.1:1", "hangs")
    ready, log = tmp_path / "ready", tmp_path / "worker.log"
    environment = place.environment | {"TASKFLOW_READY_FILE": str(ready)}
    with process(tmp_path / "server.log", *place.server) as server:
        await place.client()
        with process(log, *place.worker, **environment) as worker:
            await asyncio.to_thread(eventually, ready.exists, within=60)
            server.send_signal(signal.SIGSTOP)
            worker.terminate()
            began = time.monotonic()
            assert await asyncio.to_thread(worker.wait, ENDS_WITHIN.total_seconds() + 8) == 0
    assert time.monotonic() - began > ENDS_WITHIN.total_seconds() - 1
    assert "worker_left" in log.read_text()
