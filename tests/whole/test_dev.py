"""`taskflow dev` as a whole: everything comes up, says where it is, and goes down together."""

import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.whole.marked import Marked


def start_dev(marked: Marked) -> tuple[subprocess.Popen[str], list[str]]:
    """A running `taskflow dev` on free ports, and the lines that it printed until it was ready."""
    dev = marked.start(
        *("dev", "--port", "0", "--ui-port", "0", "--api-port", "0", "--sandbox-port", "0")
    )
    lines: list[str] = []
    assert dev.stdout
    for line in dev.stdout:
        lines.append(line.rstrip())
        if line.startswith("taskflow dev: ready"):
            return dev, lines
    raise AssertionError("\n".join(lines))


def url_of(part: str, lines: list[str]) -> str:
    """The address that a part was announced with."""
    line = next(line for line in lines if line.startswith(part))
    return next(word for word in line.split() if word.startswith("http://"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_dev_announces_its_parts_and_one_signal_ends_them(
    marked: Marked, number: signal.Signals
) -> None:
    """Each part answers where it was announced, and no process survives Ctrl-C or SIGTERM."""
    dev, lines = start_dev(marked)
    assert httpx.get(f"{url_of('api', lines)}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{url_of('sandbox', lines)}/healthz").is_success
    assert "TaskRun" not in httpx.get(url_of("temporal", lines), follow_redirects=True).text
    dev.send_signal(number)
    output, _ = dev.communicate(timeout=30)
    assert dev.returncode == 0, output
    assert "Traceback" not in output
    assert not marked.survivors()


def test_ctrl_c_ends_dev_even_when_its_worker_hangs(marked: Marked) -> None:
    """A child that cannot react to SIGTERM is killed after its grace, and dev still ends."""
    dev, _ = start_dev(marked)
    os.kill(marked.named("-m worker"), signal.SIGSTOP)
    dev.send_signal(signal.SIGINT)
    output, _ = dev.communicate(timeout=30)
    assert dev.returncode == 0, output
    assert not marked.survivors()


def test_dev_keeps_its_state_in_the_folder_it_was_started_in(
    marked: Marked, tmp_path: Path
) -> None:
    """Database and logs live under .taskflow of the current folder."""
    dev, _ = start_dev(marked)
    dev.send_signal(signal.SIGINT)
    dev.communicate(timeout=30)
    assert (tmp_path / ".taskflow/logs/worker.log").exists()
    assert (tmp_path / ".taskflow").is_dir()
