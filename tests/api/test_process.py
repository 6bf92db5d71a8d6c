"""`taskflow api` as a process: who it listens to, how it ends, and real connections."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from shared.errors import TaskflowError
from starter.api.__main__ import _resolved
from tests.starter.harness import OWN, TASKFLOW, eventually

PATIENCE = 20.0


def _environment(**own: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    return {**inherited, **own}


def _ended(*arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a process that does not begin to serve."""
    done = subprocess.run(
        [sys.executable, "-m", "starter.api", *arguments],
        env=_environment(**environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def served(
    temporal: Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """A process on a free port, its URL, and its log; it is ended by its last test."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("process") / "api.log"
    environment = _environment(
        TEMPORAL_ADDRESS=temporal.service_client.config.target_host,
        TASKFLOW_TASK_QUEUE="api-process",
        TASKFLOW_LOG_FORMAT="json",
    )
    with (
        log.open("wb") as written,
        subprocess.Popen(
            [TASKFLOW, "api", f"--port={port}"], env=environment, stderr=written
        ) as it,
    ):
        try:
            _until_it_serves(port, it)
            yield it, f"http://127.0.0.1:{port}", log
        finally:
            it.kill()


def _until_it_serves(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


def test_it_says_in_one_line_that_nobody_is_asked_who_they_are(
    served: tuple[subprocess.Popen[bytes], str, Path],
) -> None:
    """On this machine alone; and it is ready, because Temporal is there."""
    _, url, log = served
    eventually(lambda: httpx.get(f"{url}/readyz", trust_env=False).is_success)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["action"], line.get("url")) for line in lines] == [
        ("anonymous", None),
        ("api_listens", url),
    ]


def test_a_large_body_is_answered_over_a_real_connection(
    served: tuple[subprocess.Popen[bytes], str, Path],
) -> None:
    """Twenty megabytes, told of or not, end in a 413 that arrives; the next request is served."""
    _, url, _ = served

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b"[" * 1_000_000

    with httpx.Client(trust_env=False, timeout=PATIENCE) as http:
        for content in (b"[" * 20_000_000, pieces()):
            answer = http.post(
                f"{url}/internal/events",
                content=content,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == 413
            assert answer.headers["content-type"] == "application/problem+json"
        assert http.get(f"{url}/healthz").status_code == 200


def test_sigterm_lets_requests_finish_within_a_bound_and_takes_no_more(
    served: tuple[subprocess.Popen[bytes], str, Path],
) -> None:
    """A body on its way is answered, one that never comes is cut off with 503; exit code 0."""
    process, url, log = served
    port = int(url.rpartition(":")[2])
    with _half_sent(port) as quick, _half_sent(port) as endless:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1)
        quick.sendall(b"]")
        assert _read(quick).startswith(b"HTTP/1.1 422 ")
        head, _, body = _read(endless).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["code"] == "STOPPING"
    assert process.wait(PATIENCE) == 0
    assert "Traceback" not in log.read_text()


def _half_sent(port: int) -> socket.socket:
    """A request whose body is being waited for: the API has said that it may come."""
    line = socket.create_connection(("127.0.0.1", port), PATIENCE)
    line.sendall(
        b"POST /internal/events HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    )
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        said += line.recv(1)
    assert said.startswith(b"HTTP/1.1 100 ")
    line.sendall(b"[")
    return line


def _read(line: socket.socket) -> bytes:
    answer = b""
    while piece := line.recv(65536):
        answer += piece
    return answer


def test_it_listens_to_others_only_with_authentication() -> None:
    """Otherwise it ends before anybody could have been served, and says what to set."""
    code, said = _ended("--host", "0.0.0.0", "--port", "0")  # noqa: S104 - that is what is refused
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("api: nobody could tell who calls: set TASKFLOW_TOKENS_FILE")


def test_a_port_that_is_taken_is_said() -> None:
    """In one line that names it, with exit code 1."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        code, said = _ended("--port", port)
    reason = f"127.0.0.1 port {port}: Address already in use. --port names another"
    assert (code, said) == (1, f"api: cannot listen on {reason}\n")


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "::")]
)
def test_a_host_is_an_address_before_anybody_listens(host: str, address: str) -> None:
    """Whether only this machine is reached is judged by the address, and never by a name."""
    assert _resolved(host, 80)[1] == (address, 80)


def test_a_host_that_is_none_is_said() -> None:
    """With its name."""
    with pytest.raises(TaskflowError, match="cannot listen on 'no host'"):
        _resolved("no host", 80)
