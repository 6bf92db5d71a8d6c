"""A worker process that can be frozen, thawed, killed, and asked to stop."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from shared.settings import ROOT
from tests.starter.harness import OWN

_READY_WITHIN = 60.0


class Worker:
    """One process, in a process group of its own."""

    def __init__(
        self, folder: Path, name: str, environment: Mapping[str, str], module: str = "worker"
    ) -> None:
        self.log = folder / f"{name}.log"
        self._ready = folder / f"{name}.ready"
        self.leaving = False
        """It was asked to stop, and may take its time."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(OWN)}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                env={**clean, **environment, "TASKFLOW_READY_FILE": str(self._ready)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def is_ready(self) -> bool:
        """It works, as far as it has told."""
        return self._ready.exists() and self.process.poll() is None

    async def ready(self) -> None:
        """Return when it works."""
        end = time.monotonic() + _READY_WITHIN
        while not self._ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            await asyncio.sleep(0.02)

    def freeze(self) -> None:
        """SIGSTOP; it does nothing more when this returns."""
        self.process.send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)

    def thaw(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, also of one that is frozen."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> None:
        """SIGTERM; it may take its grace."""
        self.leaving = True
        self.process.terminate()

    async def gone(self, within: float) -> int:
        """Its exit code, once it has ended by itself."""
        end = time.monotonic() + within
        while (code := self.process.poll()) is None:
            assert time.monotonic() < end, f"still there after {within} s"
            await asyncio.sleep(0.05)
        return code

    async def caught(self, moment: Callable[[], Awaitable[bool]], within: float = 10.0) -> bool:
        """Freeze it at a moment; False when that passed by too quickly, or never came.

        Frozen, the process changes nothing more: what is then seen is where a kill meets it.
        """
        end = time.monotonic() + within
        while time.monotonic() < end:
            if await moment():
                self.freeze()
                await asyncio.sleep(0.1)  # what it had sent already arrives
                if await moment():
                    return True
                self.thaw()
                return False
            await asyncio.sleep(0.002)
        return False
