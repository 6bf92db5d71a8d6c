"""The HTTP API process: `python -m starter.api --host HOST --port PORT`."""

import argparse
import ipaddress
import signal
import socket
import sys
from functools import partial
from types import FrameType

import structlog
import uvicorn

from domain.problems import InvalidInput
from shared import log, tracing
from shared.errors import TaskflowError
from shared.leave import leave
from shared.sdk_metrics import measured_runtime
from shared.settings import Settings, get_settings
from starter.api.app import create_app
from starter.api.connections import Connection
from starter.api.context import Context, context_with
from starter.api.link import TemporalLink
from starter.authentication import authenticator_of
from starter.rpc import reach

logger = structlog.get_logger("starter.api")

GRACE = 4  # seconds for open requests, less than the patience of whoever stops us


def main() -> int:
    """Serve until SIGTERM or SIGINT, then finish open requests; a taken port is exit code 1."""
    parser = argparse.ArgumentParser(prog="starter.api")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8088)
    options = parser.parse_args()
    settings = get_settings()
    log.configure(settings)
    tracing.configure("taskflow-api")
    try:
        return _serve(settings, options.host, options.port)
    except InvalidInput as error:
        for problem in error.problems:
            sys.stderr.write(f"api: {error.source}: {problem}\n")
    except TaskflowError as error:
        sys.stderr.write(f"api: {error}\n")
    finally:
        tracing.close()
    return 1


def _serve(settings: Settings, host: str, port: int) -> int:
    family, address = _resolved(host, port)
    loopback = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # Bound here: uvicorn's own exit code for a taken port, 3, says something else in ours.
            listener.bind(address)
        except OSError as error:
            reason = f"{address[0]} port {address[1]}: {error.strerror}"
            raise TaskflowError(f"cannot listen on {reason}. --port names another") from error
        link = TemporalLink(settings.temporal_timeout, partial(reach, runtime=measured_runtime()))
        authenticator = authenticator_of(settings, loopback=loopback)
        context = context_with(settings, authenticator, temporal=link)
        config = uvicorn.Config(
            create_app(context),
            http=Connection,
            access_log=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        # uvicorn sends itself the signal again when it has ended, which would be our exit code.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        url = f"http://{f'[{address[0]}]' if ':' in address[0] else address[0]}"
        port = listener.getsockname()[1]
        logger.info("the API listens", action="api_listens", url=f"{url}:{port}")
        _Server(config, context).run(sockets=[listener])
    return 0


class _Server(uvicorn.Server):
    """uvicorn, which tells the context when it was asked to stop."""

    def __init__(self, config: uvicorn.Config, context: Context) -> None:
        super().__init__(config)
        self._context = context

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        self._context.stopping = True
        super().handle_exit(sig, frame)


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise TaskflowError(f"cannot listen on {host!r}: {error.strerror}") from error
    family, *_, address = found[0]
    return family, (str(address[0]), int(address[1]))


if __name__ == "__main__":
    leave(main())
