"""A server with its database in a file, and our processes with keys; the plugin is the test."""

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pytest_httpserver import HTTPServer
from temporalio.client import Client
from werkzeug import Request, Response

from shared.codec import encrypting_by
from shared.codec_keys import create_keys
from shared.settings import ROOT
from tests.conftest import start_temporal
from tests.starter.harness import Cli, eventually

CANARIES = {
    what: f"canary-{what}-5fd1c0a9"
    for what in ("param", "secret", "payload", "event", "result", "message", "progress", "undone")
}
TENANT = "acme"
UI = "http://127.0.0.1:8233"
"""Where the API is told that Temporal's Web UI is."""
EXECUTE = re.compile(r"/plugin/runtime/[a-z]+/execute")


@dataclass(slots=True)
class Plugin:
    """What answers calls: `echo` succeeds and repeats, `broken` fails and repeats, `later` accepts.

    Each says, beside a canary of its own, all that it was given.
    """

    calls: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        """One call."""
        call: dict[str, Any] = request.get_json()
        self.calls.append(call)
        given = {"params": call["params"], "payload": call["trigger"]["payload"]}
        match call["plugin_id"]:
            case "broken":
                message = f"{CANARIES['message']}: {given}"
                return _json({"status": "FAILED", "error_code": "BROKEN", "message": message})
            case "later":
                return Response(status=202)
        canary = CANARIES["undone" if call["compensates"] else "result"]
        return _json({"status": "SUCCESS", "result": {"canary": canary, "given": given}})

    def called(self, task_id: str) -> dict[str, Any]:
        """The newest call of a task, once there is one."""
        return eventually(lambda: [c for c in self.calls if c["task_id"] == task_id])[-1]


@dataclass(slots=True)
class Stack:
    """`cli` has keys, `unkeyed` none."""

    folder: Path
    cli: Cli
    unkeyed: Cli
    api: httpx.Client
    client: Client
    plugin: Plugin

    def kept(self) -> bytes:
        """All that Temporal's server has written."""
        return b"".join(path.read_bytes() for path in self.folder.glob("temporal.db*"))

    def logged(self) -> bytes:
        """All that our processes have logged."""
        return b"".join(path.read_bytes() for path in self.folder.glob("*.log"))


@asynccontextmanager
async def stack(folder: Path, server: HTTPServer) -> AsyncIterator[Stack]:
    """Temporal, worker and API of one test run."""
    keys, secrets, plugin = folder / "keys", folder / "secrets" / TENANT, Plugin()
    create_keys(keys, "k1")
    secrets.mkdir(parents=True)
    (secrets / "db-password").write_text(f"{CANARIES['secret']}\n")
    server.expect_request("/healthz").respond_with_json({"status": "ok"})
    server.expect_request(EXECUTE, method="POST").respond_with_handler(plugin.answer)
    async with await start_temporal(
        dev_server_database_filename=str(folder / "temporal.db")
    ) as environment:
        address = environment.client.service_client.config.target_host
        plain = {
            "TEMPORAL_ADDRESS": address,
            "TASKFLOW_TENANT": TENANT,
            "TASKFLOW_PLUGIN_URL": server.url_for("").rstrip("/"),
        }
        keyed = {
            **plain,
            "TASKFLOW_CODEC_KEYS_FILE": str(keys),
            "TASKFLOW_SECRETS_DIR": str(secrets.parent),
        }
        cli = Cli(folder, keyed)
        client = await Client.connect(address, data_converter=encrypting_by(keys))
        with _api(cli) as api, _worker(cli):
            yield Stack(folder, cli, Cli(folder, plain), api, client, plugin)


def _json(document: dict[str, Any]) -> Response:
    return Response(httpx.Response(200, json=document).content, content_type="application/json")


@contextmanager
def _process(
    cli: Cli, name: str, *arguments: str, **environment: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of ours, until the end; it logs everything that it can."""
    env = cli.env(TASKFLOW_LOG_LEVEL="DEBUG", **environment)
    with (
        (cli.folder / f"{name}.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=ROOT, env=env, stdout=log, stderr=log
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def _worker(cli: Cli) -> Iterator[None]:
    ready = cli.folder / "ready"
    with _process(cli, "worker", "worker", TASKFLOW_READY_FILE=str(ready)) as process:

        def is_ready() -> bool:
            assert process.poll() is None, (cli.folder / "worker.log").read_text()
            return ready.exists()

        eventually(is_ready, within=40)
        yield


@contextmanager
def _api(cli: Cli) -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    ui = {"TASKFLOW_CODEC_ORIGIN": UI}
    with (
        _process(cli, "api", "starter.api", f"--port={port}", **ui) as process,
        httpx.Client(base_url=url) as http,
    ):

        def answers() -> bool:
            assert process.poll() is None, (cli.folder / "api.log").read_text()
            with contextlib.suppress(httpx.TransportError):
                return http.get("/healthz").is_success
            return False

        eventually(answers, within=40)
        yield http
