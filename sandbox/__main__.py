"""`python -m sandbox`: reads the arguments, the config file and the log, then serves.

Exit codes: 0 after SIGTERM or SIGINT, 1 when the port or the log cannot be had, 2 for bad
arguments or a bad config file. Errors are one line on standard error.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pluginkit.secrets import Secrets, secrets_of
from sandbox.cancellation import Cancellation
from sandbox.capacity import CapacityService
from sandbox.control import World, create_app
from sandbox.endpoint import Sleepers
from sandbox.journal import Journal, JournalError
from sandbox.knobs import ConfigError, SandboxConfig, load_config
from sandbox.ledger import Ledger
from sandbox.notifications import NotificationService
from sandbox.replay import ReplayError, replay
from sandbox.runtime import NoSchedulerError, PluginRuntime, check_unreported
from sandbox.server import listen, serve
from sandbox.signatures import Callers
from sandbox.sinks import EventSinks

if TYPE_CHECKING:
    from sandbox.accepted import AcceptedWork

MAX_PORT = 65535


def main(arguments: list[str] | None = None) -> int:
    """Run the sandbox until it is told to stop; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load_config(options.config) if options.config else SandboxConfig()
        if options.scheduler_url is None:
            _check_unreported(options.config, config)
        secrets = _secrets(options.secret_file)
    except ConfigError as error:
        return _say(2, str(error))
    if options.scheduler_url and not secrets():
        return _say(2, "--scheduler-url needs --secret-file: reports are signed")
    try:
        listener = listen(options.host, options.port)
    except OSError as error:
        reason = error.strerror or str(error)
        return _say(1, f"cannot listen on {options.host}:{options.port}: {reason}")
    with listener:
        try:
            journal, lines = Journal.open(options.log)
            ledger = replay(lines)
        except JournalError as error:
            return _say(1, f"cannot use the log {error}")
        except ReplayError as error:
            return _say(1, f"cannot use the log {options.log}: {error}")
        sleepers = Sleepers()
        accepted = _accepted(options.scheduler_url, secrets, journal, sleepers, ledger)
        runtime = PluginRuntime(
            journal, sleepers, ledger, config.plugins, callers=Callers(secrets), accepted=accepted
        )
        world = World(
            runtime=runtime,
            cancellation=Cancellation(journal, sleepers, runtime),
            capacity=CapacityService(journal, sleepers, ledger),
            notifications=NotificationService(journal, sleepers, ledger),
            sinks=EventSinks(journal, sleepers, ledger),
        )
        serve(create_app(world, journal), listener, sleepers.stop)
    return 0


def _check_unreported(path: Path, config: SandboxConfig) -> None:
    for plugin_id, knobs in config.plugins.items():
        try:
            check_unreported(knobs)
        except NoSchedulerError as error:
            raise ConfigError(f"{path}: plugins.{plugin_id}.script: {error}") from error


def _secrets(path: Path | None) -> Secrets:
    if path is None:
        return tuple
    try:
        return secrets_of(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _accepted(
    url: str | None, secrets: Secrets, journal: Journal, sleepers: Sleepers, ledger: Ledger
) -> "AcceptedWork | None":
    if url is None:
        return None
    # Here, since only who reports has to wait until the HTTP client is loaded.
    from pluginkit.reports import Reporter  # noqa: PLC0415
    from sandbox.accepted import AcceptedWork  # noqa: PLC0415

    return AcceptedWork(journal, sleepers, ledger, Reporter(url, secrets))


def _say(code: int, message: str) -> int:
    sys.stderr.write(f"sandbox: {message}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandbox", description="A plugin runtime for demo, tests and benchmarks."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_port, default=9700, help="port; 0 takes a free one")
    parser.add_argument("--log", type=Path, required=True, help="log of deliveries (JSON lines)")
    parser.add_argument("--config", type=Path, help="YAML file with the knobs of plugins")
    parser.add_argument("--scheduler-url", type=_url, help="base URL of the API, for reports")
    parser.add_argument(
        "--secret-file", type=Path, help="secrets of calls and reports; without it all may call"
    )
    return parser


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text} is no http or https URL")
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"{text} is no port: use 0 to {MAX_PORT}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
