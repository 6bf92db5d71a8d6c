"""One child process: how it is started, watched and ended."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LEASH = Path(__file__).with_name("leash.py")
POLL = 0.03
REAP = 1.0
TAIL_LINES = 12
TAIL_WIDTH = 300


@dataclass(frozen=True)
class Child:
    """What to run.

    `argv` starts with an absolute path. `ready` answers whether it serves, and is asked until it
    says so or `timeout` seconds have passed; `prepare` runs before every start; `keep_open` lists
    file descriptors that the child inherits.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]]
    timeout: float = 30.0
    prepare: Callable[[], None] = lambda: None
    keep_open: tuple[int, ...] = ()


class Process:
    """A started child, leader of a session and process group of its own.

    A terminal's Ctrl-C therefore reaches the supervisor alone, which ends its children in order.
    """

    def __init__(self, child: Child, log: Path) -> None:
        """Start `child` with its output appended to `log`; errors: `OSError`.

        Linux takes the end of the calling thread for the parent's: call it from one that stays.
        """
        child.prepare()
        self._swept = False
        leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())]
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*leash, *child.argv],
                env=dict(child.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=child.keep_open,
            )

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group too."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it runs; a stopped (SIGSTOP) process is alive."""
        return self._popen.poll() is None

    @property
    def ending(self) -> str:
        """How it ended, for people: `exit code 3`, `killed by signal 9`."""
        code = self._popen.poll()
        if code is None:
            return "running"
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    async def ended(self) -> None:
        """Wait for its end, then kill what it left behind in its group."""
        # Polled: a wait in a thread cannot be cancelled, and asyncio's own subprocesses are such.
        while self.alive:  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(POLL)
        self.kill()
        self._swept = True  # from now on the group's number can be another's

    async def end(self, grace: float) -> None:
        """SIGTERM to the group, up to `grace` seconds of patience, then SIGKILL to the group."""
        if self.alive:
            self._signal(signal.SIGTERM)
            self._signal(
                signal.SIGCONT
            )  # a stopped process does not see SIGTERM until it continues
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self.ended()
        self.kill()
        await self.ended()

    def kill(self) -> None:
        """SIGKILL to the group, at once."""
        self._signal(signal.SIGKILL)

    def reap(self) -> None:
        """Take notice of the end of a process just killed; blocks for as long as that takes."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(REAP)

    def _signal(self, number: signal.Signals) -> None:
        if self._swept:
            return
        # An empty group is what we want; macOS answers EPERM for one that holds only a zombie.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def tail(log: Path) -> str:
    """The last lines of a log, indented and cut to a readable width; empty when there are none."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return ""
    return "\n".join(f"  {line[:TAIL_WIDTH]}" for line in lines if line.strip())
