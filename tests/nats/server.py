"""A real nats-server with JetStream on files: found, installed where that may be done, and run."""

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from starter.dev.ports import HOST, Wanted, settle

_INSTALL = ["apt-get", "install", "--yes", "--no-install-recommends", "nats-server"]
_SECONDS = 300


@cache
def nats_binary() -> str:
    """The program; a machine that has none, and may not install it, skips the tests.

    In CI nothing is skipped: there the lack of it is a failure.
    """
    if found := _found():
        return found
    reason = _install()
    if found := _found():
        return found
    reason = f"no nats-server: {reason}. Install Debian's package nats-server to run these tests"
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason)
    pytest.skip(reason)


def _found() -> str | None:
    return shutil.which(
        "nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/bin"
    )


def _install() -> str:
    """Try it, one test process at a time; why there is none if there is none."""
    if os.geteuid() != 0:
        return "only root may install it"
    if not shutil.which("apt-get"):
        return "there is no apt-get"
    with (Path(tempfile.gettempdir()) / "taskflow-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _found():
            return ""
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (_INSTALL, ["apt-get", "update"], _INSTALL):
            try:
                ended = subprocess.run(
                    command, env=environment, capture_output=True, timeout=_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                return f"{' '.join(command)} took more than {_SECONDS} s"
            if _found():
                return ""
        return f"apt-get does not install it ({ended.stderr.decode().strip()[-200:]})"


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
