"""The whole product as `taskflow dev` runs it, on free ports, and what a benchmark needs of it."""

import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from temporalio.client import Client

from sandbox.client import SandboxClient
from shared.errors import TaskflowError
from starter.dev.options import ALL_PARTS, DevOptions
from starter.dev.stack import dev_stack

_OF_OTHERS = ("TASKFLOW_TOKENS_FILE", "TASKFLOW_OIDC_ISSUER")
"""Who may come in elsewhere: this API is its own, and answers this machine alone."""
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Stage:
    """`http` reaches the API; `journal` is the sandbox's log; `metrics_url` the worker's."""

    client: Client
    http: httpx.AsyncClient
    sandbox: SandboxClient
    journal: Path
    metrics_url: str
    processes: Mapping[str, int]

    async def metrics(self, url: str = "/metrics") -> dict[str, Metric]:
        """Families of metrics by their names: the API's, if no other page is named."""
        text = (await self.http.get(url)).raise_for_status().text
        return {family.name: family for family in text_string_to_metric_families(text)}


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Start everything, hold it, and leave neither process nor file behind."""
    for name in _OF_OTHERS:
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="taskflow-stress-") as name:
        folder = Path(name)
        options = DevOptions(
            port=0,
            api_port=0,
            sandbox_port=0,
            metrics_port=0,
            headless=True,
            db=folder / "temporal.db",
            state_dir=folder / "state",
            sandbox_log=folder / "sandbox.jsonl",
        )
        async with dev_stack(options) as stack:
            if not (stack.api_url and stack.sandbox_url and stack.metrics_url):
                raise TaskflowError("a part of the stack was not started")
            async with (
                SandboxClient(stack.sandbox_url, timeout=_SECONDS) as sandbox,
                httpx.AsyncClient(
                    base_url=stack.api_url,
                    timeout=_SECONDS,
                    trust_env=False,
                    # Nothing here is TLS: reading the machine's certificates is wasted time.
                    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                ) as http,
            ):
                yield Stage(
                    client=await stack.connect(),
                    http=http,
                    sandbox=sandbox,
                    journal=folder / "sandbox.jsonl",
                    metrics_url=stack.metrics_url,
                    processes={part: stack.tree.pid(part) for part in ALL_PARTS},
                )
