"""What a benchmark ran on: figures mean little without it."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from temporalio.api.workflowservice.v1 import GetClusterInfoRequest
from temporalio.client import Client
from temporalio.service import __version__ as sdk_version


@dataclass(frozen=True)
class Machine:
    """Cores of this process, the CPU's name, and the versions of what does the work."""

    cores: int
    cpu: str
    server: str
    sdk: str
    python: str


async def this_machine(client: Client) -> Machine:
    """The machine, and the server that `client` is connected to."""
    cluster = await client.workflow_service.get_cluster_info(GetClusterInfoRequest())
    return Machine(
        cores=_cores(),
        cpu=_cpu(),
        server=cluster.server_version,
        sdk=sdk_version,
        python=platform.python_version(),
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: a container may be given fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
