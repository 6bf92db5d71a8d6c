"""The supervisor, with real children: nobody is left behind, and the dead are started again."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import TaskflowError
from starter.dev.processes import ProcessTree
from tests.dev.children import HANGING, OBEDIENT, alive, all_gone, child


async def until(condition: Callable[[], bool], within: float = 8.0) -> None:
    """Wait for a condition, or fail."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  # the world outside sends no event
            await asyncio.sleep(0.02)


async def test_children_end_in_reverse_order_of_their_start(tmp_path: Path) -> None:
    """What was started last may use what was started first, so it ends first."""
    diary = tmp_path / "diary"
    code = (
        f"diary = Path({str(diary)!r})\n"
        "def end(*_):\n    diary.open('a').write(sys.argv[0] + name); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); ready.touch(); time.sleep(600)"
    )
    tree = ProcessTree(tmp_path / "logs")
    for name in ("one", "two", "three"):
        await tree.start(child(tmp_path, name, f"name = ' {name}'\n{code}"))
    await tree.stop()
    assert diary.read_text().replace("-c", "").split() == ["three", "two", "one"]


@pytest.mark.parametrize("code", [HANGING, OBEDIENT], ids=["ignores SIGTERM", "obeys"])
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "SIGSTOPped"])
async def test_no_child_survives_a_stop(tmp_path: Path, code: str, stopped: bool) -> None:
    """One that ignores SIGTERM or stands still is gone after the grace period."""
    tree = ProcessTree(tmp_path / "logs", grace=0.4)
    pid = await tree.start(child(tmp_path, "child", code))
    if stopped:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    await tree.stop()
    assert not alive(pid)
    assert time.monotonic() - began < 2


async def test_grandchildren_end_with_their_group(tmp_path: Path) -> None:
    """What a child started itself is ended too, even when it ignores SIGTERM."""
    pid_file = tmp_path / "grandchild"
    code = (
        f"inner = subprocess.Popen([sys.executable, '-c', {HANGING.split('ready')[0]!r} + "
        "'print(1, flush=True); time.sleep(600)'], stdout=subprocess.PIPE)\n"
    ).replace("'signal.signal", "'import signal, time; signal.signal")
    code += f"inner.stdout.readline(); Path({str(pid_file)!r}).write_text(str(inner.pid))\n"
    tree = ProcessTree(tmp_path / "logs", grace=2)
    pid = await tree.start(child(tmp_path, "child", code + OBEDIENT))
    grandchild = int(pid_file.read_text())
    assert alive(grandchild)
    await tree.stop()
    assert all_gone(pid, grandchild)


async def test_a_cancelled_stop_kills_at_once(tmp_path: Path) -> None:
    """A second Ctrl-C does not wait for the grace period."""
    tree = ProcessTree(tmp_path / "logs", grace=60)
    pids = [await tree.start(child(tmp_path, name, HANGING)) for name in ("one", "two")]
    stopping = asyncio.create_task(tree.stop())
    await asyncio.sleep(0.2)
    assert all(alive(pid) for pid in pids)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert all_gone(*pids, within=1)


def test_a_killed_supervisor_leaves_nobody(tmp_path: Path) -> None:
    """kill -9 gives the supervisor no chance to end its children: the kernel does."""
    script = (
        "import asyncio\nfrom pathlib import Path\n"
        "from starter.dev.processes import ProcessTree\n"
        "from tests.dev.children import HANGING, child\n"
        "async def main(folder):\n"
        "    tree = ProcessTree(folder)\n"
        "    for name in ('one', 'two'):\n"
        "        print(await tree.start(child(folder, name, HANGING)), flush=True)\n"
        "    await asyncio.sleep(600)\n"
        f"asyncio.run(main(Path({str(tmp_path)!r})))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout
        pids = [int(supervisor.stdout.readline()) for _ in range(2)]
        assert all(alive(pid) for pid in pids)
        supervisor.kill()
    assert all_gone(*pids)


async def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    """One line says what happened and where to read more, one that it is back."""
    said: list[str] = []
    tree = ProcessTree(tmp_path / "logs", said.append)
    first = await tree.start(child(tmp_path, "worker", OBEDIENT))
    os.kill(first, signal.SIGKILL)
    await until(lambda: len(said) == 2)
    second = tree.pid("worker")
    assert second != first
    assert alive(second)
    log = tmp_path / "logs/worker.log"
    assert said == [
        f"worker stopped (killed by signal 9): starting it again, log in {log}",
        f"worker is back (pid {second})",
    ]
    await tree.stop()
    assert not alive(second)


async def test_a_child_that_keeps_dying_ends_the_supervision(tmp_path: Path) -> None:
    """After three restarts it is given up, and what else runs can be stopped."""
    said: list[str] = []
    tree = ProcessTree(tmp_path / "logs", said.append)
    other = await tree.start(child(tmp_path, "other", OBEDIENT))
    await tree.start(child(tmp_path, "worker", "ready.touch(); time.sleep(0.2); sys.exit(3)"))
    await asyncio.wait_for(tree.gave_up(), 20)
    assert sum("starting it again" in line for line in said) == 3
    assert "giving up" in said[-1]
    assert "exit code 3" in said[-1]
    await tree.stop()
    assert not alive(other)


async def test_a_restart_that_never_gets_ready_counts_as_a_death(tmp_path: Path) -> None:
    """A child that comes back but hangs is killed and tried again, until it is given up."""
    once = tmp_path / "once"
    code = (
        f"once = Path({str(once)!r})\nif not once.exists(): once.touch(); ready.touch()\n{HANGING}"
    )
    code = code.replace(HANGING, "time.sleep(600)")
    tree = ProcessTree(tmp_path / "logs", restarts=1)
    pid = await tree.start(child(tmp_path, "worker", code, timeout=1))
    os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(tree.gave_up(), 10)
    await tree.stop()
    assert not alive(tree.pid("worker"))


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("print('no such table'); sys.exit(4)", "worker stopped while starting (exit code 4)"),
        ("print('no such table', flush=True); time.sleep(600)", "was not ready within 0.8 s"),
    ],
)
async def test_a_failed_start_quotes_the_log(tmp_path: Path, code: str, trouble: str) -> None:
    """The reason stands in the child's own last words, so they are shown."""
    tree = ProcessTree(tmp_path / "logs")
    with pytest.raises(TaskflowError) as caught:
        await tree.start(child(tmp_path, "worker", code, timeout=0.8))
    assert trouble in str(caught.value)
    assert "no such table" in str(caught.value)
    assert not alive(tree.pid("worker"))
    await tree.stop()


async def test_a_program_that_cannot_be_run_is_one_message(tmp_path: Path) -> None:
    """A missing program ends as an error of ours that names it."""
    missing = child(tmp_path, "worker", "")
    missing = type(missing)("worker", (str(tmp_path / "missing"),), {}, missing.ready)
    tree = ProcessTree(tmp_path / "logs")
    with pytest.raises(TaskflowError, match="missing cannot be run: No such file"):
        await tree.start(missing)


async def test_the_log_of_the_start_before_is_kept(tmp_path: Path) -> None:
    """What the last instance said is still there when the next has started."""
    for word in ("first", "second"):
        tree = ProcessTree(tmp_path / "logs")
        code = f"print({word!r}, flush=True)\n{OBEDIENT}"
        await tree.start(child(tmp_path, "worker", code))
        await tree.stop()
    assert (tmp_path / "logs/worker.log").read_text() == "second\n"
    assert (tmp_path / "logs/worker.log.1").read_text() == "first\n"
