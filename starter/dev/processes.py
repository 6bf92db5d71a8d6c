"""A tree of child processes that starts in order, is kept running, and leaves nobody behind."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import TaskflowError
from starter.dev.child import POLL, Child, Process, tail

GRACE = 5.0
RESTARTS = 3
WINDOW = 60.0


@dataclass
class _Kept:
    child: Child
    log: Path
    process: Process
    deaths: deque[float] = field(default_factory=deque)
    keeper: "asyncio.Task[None] | None" = None


class ProcessTree:
    """Supervisor of named children.

    Each writes to `<logs>/<name>.log` (the log of the start before is kept as `<name>.log.1`). One
    that dies is started again; one that dies more than `restarts` times in `window` seconds ends
    the supervision: `gave_up` returns and the owner calls `stop`. `say` gets a line for each such
    event.
    """

    def __init__(
        self,
        logs: Path,
        say: Callable[[str], None] = lambda line: None,
        *,
        grace: float = GRACE,
        restarts: int = RESTARTS,
        window: float = WINDOW,
    ) -> None:
        self._logs = logs
        self._say = say
        self._grace = grace
        self._restarts = restarts
        self._window = window
        self._kept: dict[str, _Kept] = {}
        self._given_up = asyncio.Event()

    async def start(self, child: Child) -> int:
        """Start `child`, wait until it is ready and keep it running from then on; its pid.

        Errors: `TaskflowError` that quotes the end of its log, when it dies or is late.
        """
        log = self._logs / f"{child.name}.log"
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            if log.exists():
                log.replace(log.with_name(f"{log.name}.1"))
            kept = _Kept(child, log, Process(child, log))
        except OSError as error:
            raise TaskflowError(f"{child.name} cannot be started: {error}") from error
        self._kept[child.name] = kept
        trouble = await _until_ready(kept)
        if trouble:
            await kept.process.end(0)
            raise TaskflowError(
                f"{child.name} {trouble}, log in {_short(log)}\n{tail(log)}".rstrip()
            )
        kept.keeper = asyncio.create_task(self._keep(kept), name=f"keep {child.name}")
        return kept.process.pid

    def pid(self, name: str) -> int:
        """Process id of the child of that name, as it runs now."""
        return self._kept[name].process.pid

    async def gave_up(self) -> None:
        """Return when a child has died too often; it may never return."""
        await self._given_up.wait()

    async def stop(self) -> None:
        """End every child, the last started first; nobody is left in any group afterwards.

        Cancelled, it kills at once all that is left.
        """
        keepers = [kept.keeper for kept in self._kept.values() if kept.keeper]
        for keeper in keepers:
            keeper.cancel()
        try:
            await asyncio.gather(*keepers, return_exceptions=True)
            for kept in reversed(self._kept.values()):
                await kept.process.end(self._grace)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to every group, at once."""
        for kept in self._kept.values():
            kept.process.kill()
        for kept in self._kept.values():
            kept.process.reap()

    async def _keep(self, kept: _Kept) -> None:
        name, log = kept.child.name, _short(kept.log)
        while True:
            await kept.process.ended()
            ending = kept.process.ending
            if self._died_too_often(kept):
                times = f"{self._restarts + 1} times in {self._window:g} s"
                self._say(f"{name} stopped ({ending}), {times}: giving up, log in {log}")
                break
            self._say(f"{name} stopped ({ending}): starting it again, log in {log}")
            try:
                kept.process = Process(kept.child, kept.log)
            except OSError as error:
                self._say(f"{name} cannot be started again: {error}")
                break
            trouble = await _until_ready(kept)
            if trouble:
                # Its death is counted and told at the head of the loop.
                kept.process.kill()
            else:
                self._say(f"{name} is back (pid {kept.process.pid})")
        self._given_up.set()

    def _died_too_often(self, kept: _Kept) -> bool:
        now = asyncio.get_running_loop().time()
        kept.deaths.append(now)
        while kept.deaths[0] < now - self._window:
            kept.deaths.popleft()
        return len(kept.deaths) > self._restarts


async def _until_ready(kept: _Kept) -> str | None:
    """None once the child is ready, else what went wrong."""
    try:
        async with asyncio.timeout(kept.child.timeout):
            while True:
                if not kept.process.alive:
                    return f"stopped while starting ({kept.process.ending})"
                if await kept.child.ready():
                    return None
                await asyncio.sleep(POLL)
    except TimeoutError:
        return f"was not ready within {kept.child.timeout:g} s"


def _short(path: Path) -> str:
    """The path as a person in this folder would type it."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
