"""The running stack: Temporal server, sandbox, worker and API, as one process tree."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from shared.settings import get_settings
from shared.temporal import address as configured_address
from shared.temporal import connect, converter_of
from starter.dev import parts
from starter.dev.lock import owned
from starter.dev.options import API_PORT, METRICS_PORT, SANDBOX_PORT, DevOptions
from starter.dev.ports import HOST, Wanted, or_any, settle
from starter.dev.processes import ProcessTree
from starter.dev.secret import plugin_secret
from starter.dev.server import temporal_binary

Say = Callable[[str], None]


@dataclass(frozen=True)
class Ports:
    """The ports of a stack; None for a part that does not run here."""

    temporal: int | None
    web: int | None
    sandbox: int | None
    api: int | None
    metrics: int | None = None


@dataclass(frozen=True)
class DevStack:
    """A running stack.

    `address` is Temporal's; `own_server` says whether it was started here. `env` is the environment
    of the children, and of any other process that is to use the stack. `secret_file` signs calls of
    plugins and their reports.
    """

    address: str
    own_server: bool
    ports: Ports
    env: dict[str, str]
    state_dir: Path
    secret_file: Path | None
    tree: ProcessTree

    @property
    def web_url(self) -> str | None:
        """Temporal's Web UI, when this stack serves it."""
        return _url(self.ports.web)

    @property
    def sandbox_url(self) -> str | None:
        """The sandbox, when it runs here."""
        return _url(self.ports.sandbox)

    @property
    def api_url(self) -> str | None:
        """The HTTP API, when it runs here."""
        return _url(self.ports.api)

    @property
    def metrics_url(self) -> str | None:
        """The worker's metrics, when it runs here."""
        url = _url(self.ports.metrics)
        return f"{url}/metrics" if url else None

    @property
    def codec_url(self) -> str | None:
        """Where the Web UI has payloads decoded, when they are encrypted and the API runs here."""
        encrypted = get_settings().codec_keys_file is not None
        return f"{self.api_url}/codec" if encrypted and self.api_url else None

    async def connect(self) -> Client:
        """A client of the stack's Temporal server that speaks our pydantic models."""
        if self.own_server:
            converter = converter_of(get_settings())
            return await Client.connect(self.address, data_converter=converter)
        return await connect()


@asynccontextmanager
async def dev_stack(options: DevOptions, say: Say = lambda line: None) -> AsyncIterator[DevStack]:
    """Start the parts of `options` in order, hold them, and end them in reverse order.

    `say` gets one line for each part when it is ready, and one for each later event;
    `stack.tree.gave_up` returns when a part cannot be kept running.
    Errors: `Refused` before anything starts (a port, a database in use), `TemporalUnreachable` when
    the environment names a server that does not answer, `TaskflowError` when a part does not start.
    """
    own_server = options.wants_own_server
    state = options.state_folder
    async with AsyncExitStack() as exits:
        locks = [await exits.enter_async_context(owned(state / "lock", str(state)))]
        if own_server:
            db = options.database
            lock = db.with_name(f"{db.name}.lock")
            locks.append(await exits.enter_async_context(owned(lock, str(db))))
        elif "temporal" in options.parts:
            await connect(patience=get_settings().temporal_timeout)
        ports = settled_ports(options)
        secret_file = _secret_file(options)
        stack = DevStack(
            address=f"{HOST}:{ports.temporal}" if own_server else configured_address(),
            own_server=own_server,
            ports=ports,
            env=parts.child_environment(
                os.environ,
                own_address=f"{HOST}:{ports.temporal}" if own_server else None,
                sandbox_url=_url(ports.sandbox),
                plugin_url=options.plugin_url,
                secret_file=secret_file,
            ),
            state_dir=state,
            secret_file=secret_file,
            tree=ProcessTree(state / "logs", say),
        )
        exits.push_async_callback(stack.tree.stop)
        await _start(stack, options, say, tuple(locks))
        yield stack


def _secret_file(options: DevOptions) -> Path | None:
    if not options.signed or set(options.parts) <= {"temporal"}:
        return None
    return plugin_secret(options.state_folder, get_settings().plugin_secret_file)


def settled_ports(options: DevOptions) -> Ports:
    """The ports that the parts of `options` will listen on, each free now; errors: `Refused`."""
    wanted: dict[str, Wanted] = {}
    if options.wants_own_server:
        port = options.temporal_port
        instead = f", or set TEMPORAL_ADDRESS={HOST}:{port} when it is a Temporal server to use"
        wanted["temporal"] = Wanted("temporal", "--port", port, instead)
        if not options.headless:
            wanted["web"] = Wanted("temporal Web UI", "--ui-port", options.web_port)
    if "sandbox" in options.parts:
        port = SANDBOX_PORT if options.sandbox_port is None else options.sandbox_port
        wanted["sandbox"] = Wanted("sandbox", "--sandbox-port", port)
    if "api" in options.parts:
        port = API_PORT if options.api_port is None else options.api_port
        wanted["api"] = Wanted("api", "--api-port", port)
    if "worker" in options.parts:
        wanted["metrics"] = _metrics_port(options, {want.port for want in wanted.values()})
    found = dict(zip(wanted, settle(list(wanted.values())), strict=True))
    return Ports(
        found.get("temporal"),
        found.get("web"),
        found.get("sandbox"),
        found.get("api"),
        found.get("metrics"),
    )


def _metrics_port(options: DevOptions, others: set[int]) -> Wanted:
    """As it is given; else the usual one, or any when that is taken."""
    port = options.metrics_port
    if port is None:
        usual = get_settings().metrics_port or METRICS_PORT
        port = 0 if usual in others else or_any(usual)
    return Wanted("metrics of the worker", "--metrics-port", port)


async def _start(stack: DevStack, options: DevOptions, say: Say, locks: tuple[int, ...]) -> None:
    ports, env, tree = stack.ports, stack.env, stack.tree
    if ports.temporal:
        binary = temporal_binary(get_settings().temporal_binary)
        await tree.start(
            parts.temporal(
                binary,
                port=ports.temporal,
                ui_port=ports.web,
                db=options.database,
                codec_url=stack.codec_url,
                env=env,
                keep_open=locks,
            )
        )
        say(_line("temporal", stack.address, f"Web UI {stack.web_url}" if stack.web_url else ""))
    elif "temporal" in options.parts:
        say(_line("temporal", stack.address, "(named by the environment: none is started here)"))
    if ports.sandbox:
        log = options.sandbox_log or stack.state_dir / "sandbox.jsonl"
        await tree.start(
            parts.sandbox(
                port=ports.sandbox,
                log=log,
                config=options.sandbox_config,
                secret_file=stack.secret_file,
                api_url=stack.api_url,
                env=env,
            )
        )
        say(_line("sandbox", stack.sandbox_url))
        if options.plugin_url:
            named = "(named by the environment: the sandbox plays none)"
            say(_line("plugins", options.plugin_url, named))
    if "worker" in options.parts:
        pid = await tree.start(
            parts.worker(
                ready_file=stack.state_dir / "worker.ready", metrics_port=ports.metrics, env=env
            ),
        )
        say(_line("worker", f"ready (pid {pid})", f"metrics {stack.metrics_url}"))
    if ports.api:
        if stack.web_url:
            url = stack.web_url
            env = {"TASKFLOW_CODEC_ORIGIN": url, "TASKFLOW_TEMPORAL_UI_URL": url, **env}
        await tree.start(parts.api(port=ports.api, env=env))
        say(_line("api", stack.api_url, f"console {stack.api_url}/console"))


def _line(part: str, *details: str | None) -> str:
    return "   ".join([f"{part:<8}", *(detail for detail in details if detail)])


def _url(port: int | None) -> str | None:
    return f"http://{HOST}:{port}" if port else None
