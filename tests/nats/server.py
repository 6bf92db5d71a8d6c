"""A real nats-server with JetStream on files: found, installed where that may be done, and run."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starter.dev.ports import HOST, Wanted, settle
from tests.debian import debian_program


def nats_binary() -> str:
    """The program; see `debian_program` for a machine that has none."""
    return debian_program("nats-server")


@dataclass
class NatsServer:
    """One server on a port of its own, which it keeps when it is started again."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=lambda: settle([Wanted("nats", "", 0)])[0])
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"nats://{HOST}:{self.port}"

    def start(self) -> None:
        """Run it; what it stored before is there again."""
        self.process = subprocess.Popen(
            [
                *(nats_binary(), "-js", "-a", HOST, "-p", str(self.port)),
                *("-sd", str(self.folder / "store"), "-l", str(self.folder / "nats.log")),
                *self.options,
            ]
        )

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process
        self.process.kill()
        self.process.wait(10)

    async def serving(self) -> None:
        """Return once it takes connections."""
        async with asyncio.timeout(15):
            while True:
                try:
                    _, writer = await asyncio.open_connection(HOST, self.port)
                except OSError:
                    assert self.process
                    assert self.process.poll() is None, (self.folder / "nats.log").read_text()
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return


@contextmanager
def running(folder: Path, *options: str) -> Iterator[NatsServer]:
    """A server that runs, and is gone at the end."""
    server = NatsServer(folder, options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
