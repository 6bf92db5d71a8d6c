"""A Temporal server, and a sandbox, that can be killed and started again on their files."""

import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
from temporalio.client import Client

from starter.dev.ports import HOST, Wanted, settle
from tests.starter.harness import eventually_async
from tests.watch.processes import Setting, process


@dataclass(slots=True)
class Child:
    """A process; `ending` is when it is ended, whatever a test has done to it."""

    log: Path
    ending: AsyncExitStack
    process: "subprocess.Popen[bytes] | None" = None

    def freeze(self) -> None:
        """SIGSTOP: who asks hears nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; it is gone when this returns."""
        self._signal(signal.SIGKILL).wait(10)

    def begin(self, *command: str) -> None:
        """Another one takes the place of the one that was killed."""
        self.process = self.ending.enter_context(process(self.log, *command))

    def _signal(self, number: signal.Signals) -> "subprocess.Popen[bytes]":
        assert self.process
        self.process.send_signal(number)
        return self.process


@dataclass(slots=True)
class Server:
    """Temporal's, with its database in a file."""

    place: Setting
    child: Child

    async def start(self) -> Client:
        """Return when it serves."""
        self.child.begin(*self.place.server)
        return await self.place.client()


@dataclass(slots=True)
class Sandbox:
    """The outside, with its log of all that it did; what plugins do is forgotten with it."""

    child: Child
    address: str
    journal: Path

    @classmethod
    def on_a_free_port(cls, child: Child, journal: Path) -> "Sandbox":
        """Which stays the same when it is started again."""
        [port] = settle([Wanted("sandbox", "", 0)])
        return cls(child, f"{HOST}:{port}", journal)

    async def start(self) -> None:
        """Return when it answers."""
        port = self.address.rpartition(":")[2]
        self.child.begin(
            sys.executable, "-m", "sandbox", "--port", port, "--log", str(self.journal)
        )
        async with httpx.AsyncClient(base_url=f"http://{self.address}") as http:

            async def answers() -> bool:
                try:
                    return (await http.get("/control/deliveries")).is_success
                except httpx.TransportError:
                    return False

            await eventually_async(answers, within=20)
