"""The whole product with its HTTP door, for benchmarks: every part a process of its own."""

import asyncio
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from temporalio.client import Client

from sandbox.client import SandboxClient
from shared.errors import TaskflowError
from shared.token_file import change_tokens
from shared.tokens import FOR_EVER, new_token
from starter.callers import Scope
from starter.dev import parts
from starter.dev.options import DevOptions
from starter.dev.ports import Wanted, settle
from starter.dev.stack import dev_stack

PROCESSES = ("temporal", "worker", "api", "sandbox")
_CONNECTIONS = 100
_POOL = httpx.Limits(
    max_connections=_CONNECTIONS,
    max_keepalive_connections=_CONNECTIONS,
    keepalive_expiry=2.0,  # sooner than the API closes it, which could be just when it is used
)


@dataclass(frozen=True, slots=True)
class Door:
    """What a benchmark talks to, a bearer token for each tenant, and process ids by name."""

    client: Client
    http: httpx.AsyncClient
    sandbox: SandboxClient
    tokens: Mapping[str, dict[str, str]]
    processes: Mapping[str, int]
    turns: asyncio.Semaphore

    async def post(self, path: str, tenant: str, document: Any) -> httpx.Response:
        """One request of a tenant. Errors: `httpx.TransportError`."""
        headers = self.tokens[tenant] | {"Content-Type": "application/json"}
        # Who waits for a connection waits here: the client's pool looks at all of them each time.
        async with self.turns:
            return await self.http.post(path, content=json.dumps(document), headers=headers)

    async def metric(self, name: str) -> float:
        """A gauge or counter of the API process, over all labels."""
        text = (await self.http.get("/metrics")).raise_for_status().text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )


@asynccontextmanager
async def door_stack(tenants: Iterable[str]) -> AsyncIterator[Door]:
    """Start everything, hold it, and leave neither process nor file behind."""
    with tempfile.TemporaryDirectory(prefix="taskflow-bench-") as name:
        folder = Path(name)
        options = DevOptions(
            port=0,
            sandbox_port=0,
            headless=True,
            db=folder / "temporal.db",
            state_dir=folder / "state",
            parts=("temporal", "sandbox", "worker"),
        )
        file = folder / "tokens.json"
        tokens = {tenant: _token(file, tenant) for tenant in tenants}
        async with dev_stack(options) as stack:
            [port] = settle([Wanted("api", "", 0)])
            env = {**stack.env, "TASKFLOW_TOKENS_FILE": str(file)}
            await stack.tree.start(parts.api(port=port, env=env))
            if stack.sandbox_url is None:
                raise TaskflowError("the sandbox was not started")
            async with (
                SandboxClient(stack.sandbox_url) as sandbox,
                httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{port}",
                    limits=_POOL,
                    timeout=60.0,
                    trust_env=False,
                    # Nothing here is TLS: reading the machine's certificates is wasted time.
                    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                ) as http,
            ):
                yield Door(
                    client=await stack.connect(),
                    http=http,
                    sandbox=sandbox,
                    tokens=tokens,
                    processes={name: stack.tree.pid(name) for name in PROCESSES},
                    turns=asyncio.Semaphore(_CONNECTIONS),
                )


def _token(file: Path, tenant_id: str) -> dict[str, str]:
    """The header of a new token that may do all that the tenant may."""
    scopes = [scope for scope in Scope if scope is not Scope.ADMIN]
    token, shown = new_token(tenant_id, scopes, now=datetime.now(UTC), lives=FOR_EVER)
    change_tokens(file, lambda tokens: (tokens.with_token(token), None))
    return {"Authorization": f"Bearer {shown}"}
