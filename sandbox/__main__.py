"""`python -m sandbox`: reads the arguments, the config file and the log, then serves.

Exit codes: 0 after SIGTERM or SIGINT, 1 when the port or the log cannot be had, 2 for bad
arguments or a bad config file. Errors are one line on standard error.
"""

import argparse
import sys
from pathlib import Path

from sandbox.cancellation import Cancellation
from sandbox.capacity import CapacityService
from sandbox.control import World, create_app
from sandbox.endpoint import Sleepers
from sandbox.journal import Journal, JournalError
from sandbox.knobs import ConfigError, SandboxConfig, load_config
from sandbox.notifications import NotificationService
from sandbox.replay import ReplayError, replay
from sandbox.runtime import PluginRuntime
from sandbox.server import listen, serve
from sandbox.sinks import EventSinks

MAX_PORT = 65535


def main(arguments: list[str] | None = None) -> int:
    """Run the sandbox until it is told to stop; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = load_config(options.config) if options.config else SandboxConfig()
    except ConfigError as error:
        return _say(2, str(error))
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
        runtime = PluginRuntime(journal, sleepers, ledger, config.plugins)
        world = World(
            runtime=runtime,
            cancellation=Cancellation(journal, sleepers, runtime),
            capacity=CapacityService(journal, sleepers, ledger),
            notifications=NotificationService(journal, sleepers, ledger),
            sinks=EventSinks(journal, sleepers, ledger),
        )
        serve(create_app(world, journal), listener, sleepers.stop)
    return 0


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
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"{text} is no port: use 0 to {MAX_PORT}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
