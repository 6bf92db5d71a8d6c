"""The dynamic configuration of the Temporal server: keys that it knows, values that it takes."""

import asyncio
import json
import mmap
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from starter.dev.server import DYNAMIC_CONFIG, wait_until_serving
from tests.conftest import TEMPORAL_BINARY
from tests.deploy.files import DEPLOY

REFUSED = "Failed to convert value, using default"


def _config() -> dict[str, Any]:
    """Key by key, without the constraints that a value may have."""
    read = yaml.safe_load((DEPLOY / "temporal/dynamicconfig.yaml").read_text())
    for said in read.values():
        assert [list(value) for value in said] == [["value"]]
    return {key: said[0]["value"] for key, said in read.items()}


def test_each_key_is_one_that_the_server_knows() -> None:
    """The server says nothing of a key that it does not know: it stands in its program, or not."""
    with (
        TEMPORAL_BINARY.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program,
    ):
        assert program.find(b"frontend.noSuchKey") == -1
        for key in _config():
            assert program.find(key.encode()) >= 0, key


def test_what_runs_need_of_a_server_is_set() -> None:
    """What the development server gets for our sake, and not because it is alone on a machine."""
    alone = {
        "history.timerProcessorMaxTimeShift",  # servers of a cluster have clocks that differ
        "system.forceSearchAttributesCacheRefreshOnRead",  # off, unless for development
        "frontend.persistenceMaxQPS",
        "history.persistenceMaxQPS",
        "matching.persistenceMaxQPS",
    }
    assert set(_config()) == set(DYNAMIC_CONFIG) - alone
    for key in ("matching.enableFairness", "worker.perNamespaceWorkerOptions"):
        assert _config()[key] == DYNAMIC_CONFIG[key]


async def test_the_server_takes_each_value(tmp_path: Path) -> None:
    """It warns of one of the wrong type, and goes on with its default: of ours it warns of none."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    values = _config() | {"frontend.keepAliveMaxConnectionAge": "a wrong one"}
    command = [str(TEMPORAL_BINARY), "server", "start-dev", "--headless", "--port", str(port)]
    for key, value in values.items():
        command += ["--dynamic-config-value", f"{key}={json.dumps(value)}"]
    log = tmp_path / "log"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *command, "--log-level", "warn", stdout=written, stderr=written
        )
        try:
            await wait_until_serving(f"127.0.0.1:{port}")
        finally:
            process.kill()
            await process.wait()
    refused = [line for line in log.read_text().splitlines() if REFUSED in line]
    assert refused
    assert all("key=frontend.keepalivemaxconnectionage" in line for line in refused), refused
