"""`python -m tests.starter.forked SOCKET`: runs `taskflow` commands in processes that begin warm.

Each command is a process of its own with its own environment, folder and streams, forked from one
that has loaded the libraries and our modules, none of which looks at the environment while it is
loaded: loading is nine tenths of what a command costs, and most of the processor time of these
tests. What a command loads by itself shows where `taskflow` is started as users start it.
"""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import domain
import shared
import starter
from shared.settings import ROOT

_LATER = ("httpx", "rich.live", "rich.progress", "rich.table", "temporalio.contrib.pydantic")
"""Libraries that are loaded when they are needed."""
_SERVERS = ("starter.api.", "starter.nats.")
"""Ours that no command of these tests runs."""
_TIMEOUT = 60.0
_SIZE = 8


@dataclass(frozen=True)
class Forker:
    """Where commands are asked for."""

    path: Path

    def run(
        self, arguments: tuple[str, ...], *, cwd: Path, env: dict[str, str], stdin: str
    ) -> tuple[int, str, str]:
        """Exit code and both streams of one `taskflow` command."""
        asked = {"arguments": arguments, "cwd": str(cwd), "env": env, "stdin": stdin}
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_TIMEOUT + 5)
            line.connect(str(self.path))
            _send(line, asked)
            found = _receive(line)
        return found["code"], found["out"], found["err"]


@contextlib.contextmanager
def forking(folder: Path) -> Iterator[Forker]:
    """Start the process that commands are forked from; end it, and whatever it still runs."""
    path = folder / "forked.sock"
    command = [sys.executable, "-m", "tests.starter.forked", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 120
            while not path.exists():
                assert process.poll() is None, "the process that commands are forked from died"
                assert time.monotonic() < end, "it does not listen"
                time.sleep(0.02)
            yield Forker(path)
        finally:
            process.terminate()
            process.wait(10)


def _serve(path: Path) -> None:
    _load()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path) + ".new")
        server.listen(64)
        os.rename(str(path) + ".new", path)
        while True:
            line, _ = server.accept()
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _answer(line)
                os._exit(0)
            line.close()


def _load() -> None:
    """What commands import, at their start or later; none of it starts a thread."""
    for package in (domain, shared, starter):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(_SERVERS) and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for library in _LATER:
        importlib.import_module(library)
    gc.collect()
    gc.freeze()  # else the first collection of every child copies all pages


def _answer(line: socket.socket) -> None:
    asked = _receive(line)
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(asked["stdin"].encode())
        given.seek(0)
        child = os.fork()
        if child == 0:
            line.close()
            for number, stream in enumerate((given, out, err)):
                os.dup2(stream.fileno(), number)
            _become(asked)
        code = _code_of(child)
        out.seek(0)
        err.seek(0)
        found = {"code": code, "out": out.read().decode(), "err": err.read().decode()}
    _send(line, found)


def _code_of(child: int) -> int:
    end = time.monotonic() + _TIMEOUT
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)


def _become(asked: dict[str, Any]) -> None:
    """Turn this process into the command."""
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = ["taskflow", *asked["arguments"]]
    sys.path = [entry for entry in sys.path if entry]
    code = 70
    try:
        from starter.cli.main import main  # noqa: PLC0415 - in the command's own environment

        code = main(asked["arguments"])
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - the test sees it on standard error
        sys.stderr.write(f"Traceback of a command: {error!r}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _send(line: socket.socket, document: object) -> None:
    content = json.dumps(document).encode()
    line.sendall(len(content).to_bytes(_SIZE, "big") + content)


def _receive(line: socket.socket) -> Any:
    size = int.from_bytes(_exactly(line, _SIZE), "big")
    return json.loads(_exactly(line, size))


def _exactly(line: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        chunk = line.recv(size - len(content))
        if not chunk:
            raise ConnectionError("the other side has left")
        content += chunk
    return content


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
