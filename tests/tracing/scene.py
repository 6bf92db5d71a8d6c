"""An API and a worker as processes that tell a receiver of their spans, and the sandbox outside."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import quote

import httpx

from starter.callers import TENANT_SCOPES
from tests.api.outside import Outside, outside
from tests.starter.harness import eventually
from tests.tracing.receiver import Receiver
from tests.watch.processes import QUIET, process

PATIENCE = 40.0
TENANT = "traced"
QUEUE = "tracing"


@dataclass(frozen=True)
class Scene:
    """What is there; workers come and go."""

    folder: Path
    receiver: Receiver
    api: Outside
    environment: dict[str, str]

    @contextmanager
    def worker(self, name: str, **environment: str) -> "Iterator[Popen[bytes]]":
        """One that is ready; its log is `name`.log."""
        ready = self.folder / f"{name}.ready"
        own = {"TASKFLOW_READY_FILE": str(ready), "TASKFLOW_LOG_FORMAT": "json"}
        known = self.environment | own | environment
        log = self.folder / f"{name}.log"
        with process(log, sys.executable, "-m", "worker", **known) as child:
            eventually(lambda: ready.exists() or child.poll() is not None, within=PATIENCE)
            assert child.poll() is None, log.read_text()
            yield child

    def lines(self, name: str) -> list[dict[str, Any]]:
        """What a process has logged: each line of it is JSON."""
        whole = (self.folder / f"{name}.log").read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def caller(self) -> httpx.Client:
        """Somebody with all rights of the tenant."""
        headers = self.api.caller(TENANT, *TENANT_SCOPES)
        return httpx.Client(base_url=f"{self.api.url}/internal", headers=headers, timeout=PATIENCE)

    def ended(self, http: httpx.Client, run_id: str) -> dict[str, Any]:
        """A run when it has ended."""

        def look() -> dict[str, Any] | None:
            run: dict[str, Any] = http.get(f"/runs/{quote(run_id)}").json()
            return run if run.get("ended_at") else None

        return eventually(look, within=PATIENCE) or {}


@contextmanager
def scene(folder: Path, receiver: Receiver, address: str, plugin_url: str) -> Iterator[Scene]:
    """The API of a scene, and what the environment of all its processes says."""
    environment = {
        "TEMPORAL_ADDRESS": address,
        "TASKFLOW_TASK_QUEUE": QUEUE,
        "TASKFLOW_PLUGIN_URL": plugin_url,
        "TASKFLOW_CAPACITY_URL": plugin_url,
        "TASKFLOW_NOTIFICATIONS_URL": plugin_url,
        **QUIET,
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    with outside(folder, **environment) as api:
        yield Scene(folder, receiver, api, environment)
