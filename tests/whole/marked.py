"""Processes that can be found again: each inherits a mark in its environment."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

TASKFLOW = Path(sys.executable).with_name("taskflow")
MARK = "TASKFLOW_TEST_MARK"


class Marked:
    """Starts `taskflow` in a folder of its own, and knows every process that came of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mark = uuid.uuid4().hex
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """`taskflow ...`, its output readable as one stream, in a session of its own."""
        return self._start([str(TASKFLOW), *arguments], environment)

    def start_python(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The same with `python ...`."""
        return self._start([sys.executable, *arguments], environment)

    def _start(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TEMPORAL_", "TASKFLOW_"))
        }
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**inherited, MARK: self._mark, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def survivors(self, wait: float = 5.0) -> dict[int, str]:
        """Command lines of the marked processes that are there after `wait` seconds, by pid."""
        deadline = time.monotonic() + wait
        while (found := self._found()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def named(self, word: str) -> int:
        """The pid of the marked process whose command line has `word`."""
        [pid] = [pid for pid, line in self._found().items() if word in line]
        return pid

    def kill_survivors(self) -> None:
        """Leave nothing to the next test."""
        for pid in self._found():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._started:
            process.kill()
            if process.stdout and not process.stdout.closed:
                process.communicate()

    def _found(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                environment = (folder / "environ").read_bytes()
                if f"{MARK}={self._mark}".encode() in environment.split(b"\0"):
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if line:  # a zombie has none
                        found[int(folder.name)] = line
        return found
