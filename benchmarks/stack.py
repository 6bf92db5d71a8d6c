"""The processes of one benchmark: server, sandbox, API and worker, on free ports.

The API is there for the reports of plugins. The worker is one of the benchmarks' own.
"""

import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from benchmarks.metrics import WorkerMetrics
from sandbox.client import SandboxClient
from shared.errors import TaskflowError
from shared.settings import ROOT
from starter.dev.child import Child
from starter.dev.options import DevOptions
from starter.dev.ports import Wanted, settle
from starter.dev.stack import dev_stack

PROCESSES = ("temporal", "worker", "sandbox", "api")


@dataclass(frozen=True)
class Bench:
    """What a benchmark talks to, and the process ids behind it by name."""

    client: Client
    sandbox: SandboxClient
    metrics: WorkerMetrics
    processes: Mapping[str, int]


@asynccontextmanager
async def bench_stack() -> AsyncIterator[Bench]:
    """Start everything, hold it, and leave neither process nor file behind."""
    with tempfile.TemporaryDirectory(prefix="taskflow-bench-") as folder:
        options = DevOptions(
            port=0,
            sandbox_port=0,
            api_port=0,
            headless=True,
            db=Path(folder) / "temporal.db",
            state_dir=Path(folder) / "state",
            parts=("temporal", "sandbox", "api"),
        )
        async with dev_stack(options) as stack:
            [port] = settle([Wanted("metrics of the worker", "", 0)])
            ready = stack.state_dir / "worker.ready"
            await stack.tree.start(_worker(port, ready, stack.env))
            if stack.sandbox_url is None:
                raise TaskflowError("the sandbox was not started")
            async with (
                SandboxClient(stack.sandbox_url) as sandbox,
                WorkerMetrics(port) as metrics,
            ):
                yield Bench(
                    client=await stack.connect(),
                    sandbox=sandbox,
                    metrics=metrics,
                    processes={name: stack.tree.pid(name) for name in PROCESSES},
                )


def _worker(port: int, ready_file: Path, env: dict[str, str]) -> Child:
    async def ready() -> bool:
        return ready_file.exists()  # noqa: ASYNC240  # on a local disk

    return Child(
        "worker",
        (sys.executable, "-P", "-m", "benchmarks.worker", str(port)),
        # Benchmarks are not installed, and `-P` keeps the folder that one stands in out of the way.
        {**env, "PYTHONPATH": str(ROOT), "TASKFLOW_READY_FILE": str(ready_file)},
        ready,
    )
