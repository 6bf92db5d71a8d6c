"""The children of the stack: what each is started with and how it shows that it is ready."""

import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import httpx
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError

from starter.dev.child import Child
from starter.dev.ports import HOST
from starter.dev.server import remember_for, server_command, serving


def child_environment(
    environ: Mapping[str, str],
    *,
    own_address: str | None,
    sandbox_url: str | None,
    plugin_url: str | None = None,
    secret_file: Path | None = None,
) -> dict[str, str]:
    """The environment of every child, from that of this process.

    With a server of our own at `own_address` nothing else about Temporal is let through: a child
    must not take an API key or TLS to it. The sandbox, when it runs, plays capacity service and
    notification service, and the plugins unless they are at `plugin_url`. `secret_file` is what
    signs calls of plugins and their reports.
    """
    env = dict(environ)
    if own_address:
        env = {key: value for key, value in env.items() if not key.startswith("TEMPORAL_")}
        # A profile in its default place would be read too; naming another is what turns it off.
        if dict(ClientConfig.load_client_connect_config(override_env_vars=env)):
            env["TEMPORAL_CONFIG_FILE"] = os.devnull
        env["TEMPORAL_ADDRESS"] = own_address
    if sandbox_url:
        for name in ("PLUGIN", "CAPACITY", "NOTIFICATIONS"):
            env[f"TASKFLOW_{name}_URL"] = sandbox_url
    if plugin_url:
        env["TASKFLOW_PLUGIN_URL"] = plugin_url
    if secret_file:
        env["TASKFLOW_PLUGIN_SECRET_FILE"] = str(secret_file)
    return env


def temporal(
    binary: Path,
    *,
    port: int,
    ui_port: int | None,
    db: Path,
    codec_url: str | None,
    env: Mapping[str, str],
    keep_open: tuple[int, ...],
) -> Child:
    """The embedded server; ready when it serves and its retention is set.

    `keep_open`: it holds the locks itself, so that no second one opens its database while it lives.
    """
    address = f"{HOST}:{port}"

    async def ready() -> bool:
        if not await serving(address):
            return False
        try:
            await remember_for(address)
        except (RuntimeError, RPCError):
            return False
        return True

    command = server_command(binary, port=port, ui_port=ui_port, db=db, codec_url=codec_url)
    return Child("temporal", command, env, ready, keep_open=keep_open)


def sandbox(
    *,
    port: int,
    log: Path,
    config: Path | None,
    secret_file: Path | None,
    api_url: str | None,
    env: Mapping[str, str],
) -> Child:
    """The plugin runtime of demo and tests, with its log of deliveries.

    With a secret it takes signed calls only, and reports to the API, if there is one.
    """
    arguments = ["--host", HOST, "--port", str(port), "--log", str(log.absolute())]
    if secret_file:
        arguments += ["--secret-file", str(secret_file)]
        arguments += ["--scheduler-url", api_url] if api_url else []
    if config:
        arguments += ["--config", str(config.absolute())]
    return Child("sandbox", _module("sandbox", *arguments), env, _answers(port))


def worker(*, ready_file: Path, metrics_port: int | None, env: Mapping[str, str]) -> Child:
    """The worker; ready when it has made `ready_file`."""
    metrics = {"TASKFLOW_METRICS_PORT": str(metrics_port)} if metrics_port else {}

    async def ready() -> bool:
        return ready_file.exists()  # noqa: ASYNC240  # on a local disk

    return Child(
        "worker",
        _module("worker"),
        {**env, **metrics, "TASKFLOW_READY_FILE": str(ready_file)},
        ready,
        prepare=lambda: ready_file.unlink(missing_ok=True),
    )


def api(*, port: int, env: Mapping[str, str]) -> Child:
    """The HTTP API."""
    arguments = ["--host", HOST, "--port", str(port)]
    return Child("api", _module("starter.api", *arguments), env, _answers(port))


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    # -P: a folder called `worker` or `sandbox` where the person stands must not be run instead.
    return (sys.executable, "-P", "-m", name, *arguments)


def _answers(port: int) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        # No proxy of the environment stands between us and this machine.
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as http:
            try:
                answer = await http.get(f"http://{HOST}:{port}/healthz")
            except httpx.HTTPError:
                return False
        return answer.is_success

    return ready
