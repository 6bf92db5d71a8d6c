"""The process of `taskflow nats`: `python -m starter.nats [--create-stream] [--metrics-port N]`."""

# ruff: noqa: PLC0415 - without nats-py only this page can be read

import argparse
from importlib.util import find_spec

from domain.problems import InvalidInput, Problem
from shared import log, tracing
from shared.files import read_text
from shared.leave import leave
from shared.settings import Settings, get_settings
from starter.cli.errors import report

_INSTALL = "pip install 'taskflow[nats]'"


def main() -> int:
    """Consume until SIGTERM or SIGINT; 1 for what does not fit in NATS, 2 for bad settings."""
    parser = argparse.ArgumentParser(prog="taskflow nats")
    parser.add_argument("--create-stream", action="store_true")
    parser.add_argument("--metrics-port", type=int)
    options = parser.parse_args()
    try:
        settings = get_settings()
        _check(settings)
        from starter.nats.running import run

        log.configure(settings)
        log.forward_core()
        tracing.configure("taskflow-nats")
        port = options.metrics_port or settings.metrics_port
        run(settings, create_stream=options.create_stream, metrics_port=port)
    except Exception as error:  # noqa: BLE001 - the last place that can say it
        return report(error, as_json=False)
    finally:
        tracing.close()
    return 0


def _check(settings: Settings) -> None:
    """Errors: `InvalidInput` for all that no waiting will mend."""
    if find_spec("nats") is None:
        raise _lacking(f"`taskflow nats` needs nats-py, which is not installed: {_INSTALL}")
    from starter.nats.connecting import servers_of
    from starter.nats.subjects import check_names

    servers_of(settings)
    check_names(settings)
    if settings.nats_creds_file is not None:
        read_text(settings.nats_creds_file)
        if find_spec("nkeys") is None:
            raise _lacking(
                f"TASKFLOW_NATS_CREDS_FILE needs nkeys, which is not installed: {_INSTALL}"
            )


def _lacking(message: str) -> InvalidInput:
    return InvalidInput([Problem((), message)])


if __name__ == "__main__":
    leave(main())
