"""How commands end when something is wrong: codes, messages, and never a traceback."""

import asyncio
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from domain.problems import InvalidInput, Problem
from shared.errors import NotFound, Refused, TaskflowError, TemporalUnreachable
from starter.cli.errors import failure_of
from tests.conftest import start_temporal
from tests.starter.harness import TASKFLOW, Cli

TASK = """\
task_id: report
plugin_id: p
triggers: [{every: 1h}]
"""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no"), 1),
        (NotFound("none"), 1),
        (TaskflowError("odd"), 1),
        (TemporalUnreachable("gone"), 3),
        (InvalidInput([Problem(("tasks", 0), "wrong", 3)], "a.yaml"), 2),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("division by zero"), 1),
    ],
)
def test_every_error_has_its_code_and_words(error: BaseException, code: int) -> None:
    """The error tree is mapped in one place; each entry has a line and a JSON error."""
    failure = failure_of(error)

    assert failure.code == code
    assert all(failure.lines)
    assert all({"path", "message"} <= entry.keys() for entry in failure.errors)
    assert failure.errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["trigger", "a/b", "--wait"],
        ["apply", "-"],
    ],
)
def test_no_temporal_is_exit_code_3_within_seconds(tmp_path: Path, arguments: list[str]) -> None:
    """A refused connection is one line that says what to do; patience is for servers that hang."""
    cli = Cli(tmp_path, {"TEMPORAL_ADDRESS": "127.0.0.1:1", "TASKFLOW_TEMPORAL_TIMEOUT": "300"})
    began = time.monotonic()

    ended = cli.run(*arguments, "--tenant", "acme", stdin=TASK)

    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("Temporal does not answer at 127.0.0.1:1")
    assert ended.err.count("\n") == 1
    assert time.monotonic() - began < 60


def test_a_server_that_accepts_and_says_nothing_is_unreachable_too(tmp_path: Path) -> None:
    """The patience of the settings holds for a silent peer; --json says it in one document."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        cli = Cli(tmp_path, {"TEMPORAL_ADDRESS": address, "TASKFLOW_TEMPORAL_TIMEOUT": "1"})
        began = time.monotonic()

        ended = cli.run("list", "--json")

    assert (ended.code, ended.err) == (3, "")
    assert address in ended.document["errors"][0]["message"]
    assert time.monotonic() - began < 60


async def test_a_server_that_dies_while_a_command_waits_is_exit_code_3(tmp_path: Path) -> None:
    """The wait ends with one message soon after the server has gone."""
    environment = await start_temporal()
    address = environment.client.service_client.config.target_host
    cli = Cli(tmp_path, {"TEMPORAL_ADDRESS": address, "TASKFLOW_TENANT": "acme"})
    cli.ok("register", "-", stdin=TASK)
    process = await asyncio.create_subprocess_exec(
        *(TASKFLOW, "trigger", "report", "--wait"),
        env=cli.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).startswith(b"Started run/acme/report/manual/")
    await environment.shutdown()
    async with asyncio.timeout(30):
        out, err = (text.decode() for text in await process.communicate())

    assert (process.returncode, out) == (3, "")
    assert err.startswith(f"Temporal at {address} stopped answering")
    assert err.count("\n") == 1


def test_ctrl_c_is_exit_code_130_and_one_line(cli: Cli) -> None:
    """A wait can be left; what was started goes on."""
    cli.environment["TASKFLOW_TASK_QUEUE"] = "nobody-works-here"
    cli.ok("register", "-", stdin=TASK)
    with subprocess.Popen(
        [TASKFLOW, "trigger", "report", "--wait"],
        env=cli.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (130, "interrupted\n")
    assert cli.json("runs", "report")["runs"][0]["run_id"] == run_id


def test_a_bad_setting_is_named_by_its_variable(tmp_path: Path) -> None:
    """A person reads the name that they set, and what it must be."""
    ended = Cli(tmp_path).run("list", TASKFLOW_TEMPORAL_TIMEOUT="soon")

    assert ended.code == 2
    assert ended.err.startswith("TASKFLOW_TEMPORAL_TIMEOUT: ")


def test_a_missing_file_and_bad_usage_are_exit_code_2(tmp_path: Path) -> None:
    """The message names the file, or the option; usage errors say where to read more."""
    cli = Cli(tmp_path)

    missing, unknown = cli.run("plan", "nowhere.yaml"), cli.run("list", "--frobnicate")

    assert (missing.code, unknown.code) == (2, 2)
    assert missing.err.startswith("nowhere.yaml: cannot be read: no such file")
    choice = cli.run("runs", "--status", "fine")
    assert choice.code == 2
    assert choice.err.startswith("Invalid value for '--status': 'fine' is not one of 'pending', ")
    assert "--frobnicate" in unknown.err
    assert "taskflow list --help" in unknown.err


def test_a_reader_that_leaves_ends_a_command_quietly(tmp_path: Path) -> None:
    """`taskflow ... | head -1` leaves nothing on standard error."""
    with subprocess.Popen(
        [TASKFLOW, "preview", "* * * * *", "--count", "1000"],
        cwd=tmp_path,
        env=Cli(tmp_path).env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()

    assert process.returncode == 141
    assert complaint == b""


def test_an_unexpected_error_is_one_line_unless_details_are_asked_for(tmp_path: Path) -> None:
    """What we did not foresee is still no traceback, and names the way to one."""
    environment = Cli(tmp_path).env(TASKFLOW_POLICY_FILE="\x01" * 300)

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TASKFLOW, "plan", "-"],
            env={**environment, **more},
            input="{}",
            capture_output=True,
            text=True,
            check=False,
        )

    assert run().returncode in (1, 2)
    assert "Traceback" not in run().stderr
    assert "Traceback" in run(TASKFLOW_DEBUG="1").stderr
