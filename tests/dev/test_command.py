"""`taskflow dev` as a person meets it: lines, signals, exit codes, and nobody left behind."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dev.children import alive, all_gone, children_of


@contextmanager
def dev(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """The command with a database in `folder`, any free ports, and Temporal and API as parts."""
    free = ["--port", "0", "--ui-port", "0", "--api-port", "0", "--db", str(folder / "t.db")]
    command = [sys.executable, "-m", "starter.dev", *free, "--parts", "temporal", "api", *more]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until_ready(process: "subprocess.Popen[str]") -> list[str]:
    """Its lines up to the one that says that all is up."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if lines[-1] == "taskflow dev: ready":
            break
    return lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_process(tmp_path: Path, number: signal.Signals) -> None:
    """One line per part, `ready` last; then exit code 0, an empty standard error, nobody left."""
    with dev(tmp_path) as process:
        lines = lines_until_ready(process)
        address = lines[0].split()[1]
        assert [line.split()[0] for line in lines[:2]] == ["temporal", "api"]
        assert lines[2:] == [
            f"Use it from another terminal: export TEMPORAL_ADDRESS={address}",
            "taskflow dev: ready",
        ]
        pids = children_of(process.pid)
        assert len(pids) == 2
        process.send_signal(number)
        _, errors = process.communicate(timeout=15)
        assert process.returncode == 0
        assert errors == ""
    assert all_gone(*pids)


def test_a_signal_during_start_up_ends_every_process(tmp_path: Path) -> None:
    """Not ready yet is no reason to leave something behind or to show a traceback."""
    with dev(tmp_path) as process:
        assert process.stdout
        process.stdout.readline()
        pids = children_of(process.pid)
        assert pids
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=15)
        assert process.returncode == 1
        assert errors == ""
    assert all_gone(*pids)


def test_after_kill_9_the_same_database_can_be_used_at_once(tmp_path: Path) -> None:
    """Its children die with it and the locks with them, so the next start works."""
    with dev(tmp_path) as process:
        lines_until_ready(process)
        pids = children_of(process.pid)
        process.kill()
        process.wait(5)
        with dev(tmp_path) as again:
            assert lines_until_ready(again)[-1] == "taskflow dev: ready"
            assert not any(alive(pid) for pid in pids)
            again.send_signal(signal.SIGINT)
            assert again.wait(15) == 0


def test_a_second_signal_kills_what_does_not_end(tmp_path: Path) -> None:
    """A server that stands still is not waited for twice."""
    with dev(tmp_path) as process:
        lines_until_ready(process)
        pids = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.stdout
        assert "stopping" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=3)
        assert process.returncode == 0
        assert errors == ""
    assert all_gone(*pids)


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """No traceback, exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with dev(tmp_path, "--api-port", port) as process:
            out, errors = process.communicate(timeout=15)
    assert process.returncode == 1
    assert out == ""
    assert errors.startswith(f"api: port {port} on 127.0.0.1 is taken.")
    assert errors.count("\n") == 1


def test_a_reader_that_goes_away_does_not_end_the_stack(tmp_path: Path) -> None:
    """`taskflow dev | head -1` closes our output; the stack lives on without complaint."""
    with dev(tmp_path) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) in {0, 1}
        assert process.stderr
        assert process.stderr.read() == ""
