"""The demo as a new user runs it: the whole product, real processes, a verdict."""

import os
import re
import signal
import time

import pytest

from tests.whole.marked import Marked


@pytest.mark.soak  # the one whose server is killed passes too
def test_a_shortened_demo_passes_and_leaves_no_process(marked: Marked) -> None:
    """Every run that is due happens once, the Web UI is named, and nothing survives the end."""
    demo = marked.start("demo", DEMO_SECONDS="12")
    output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, output
    assert "PASS:" in output.splitlines()[-1]
    assert "Web UI: http://127.0.0.1:" in output
    assert "Traceback" not in output
    assert not marked.survivors()


def test_ctrl_c_ends_the_demo_and_all_it_started(marked: Marked) -> None:
    """An interrupted demo says so, without a traceback, and takes its processes with it."""
    demo = marked.start("demo", DEMO_SECONDS="60")
    assert demo.stdout
    for line in demo.stdout:
        if line.startswith("Registered"):
            break
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert "stopped" in output
    assert "Traceback" not in output
    assert not marked.survivors()


@pytest.mark.fault(8)
def test_the_server_killed_under_the_demo_comes_back_and_nothing_is_lost(marked: Marked) -> None:
    """After kill -9 of the server every run still happens exactly once, a reported one too."""
    demo = marked.start("demo", DEMO_SECONDS="15")
    assert demo.stdout
    for line in demo.stdout:
        if line.startswith("Registered"):
            break
    time.sleep(3)
    server = marked.named("server start-dev")
    os.kill(server, signal.SIGKILL)
    output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, output
    assert "temporal stopped (killed by signal 9)" in output
    assert re.search(r"globex/catalog-export +SUCCESS +\(interval, \d+\.\d s\)", output), output
    assert "Traceback" not in output
    assert not marked.survivors()
