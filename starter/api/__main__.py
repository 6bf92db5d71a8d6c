"""The HTTP API process: `python -m starter.api --host HOST --port PORT`."""

import argparse
import socket
import sys

import uvicorn

from starter.api.app import create_app

GRACE = 4  # seconds for open requests, less than the patience of whoever stops us


def main() -> int:
    """Serve until SIGTERM or SIGINT, then finish open requests; a taken port is exit code 1."""
    parser = argparse.ArgumentParser(prog="starter.api")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8088)
    options = parser.parse_args()
    config = uvicorn.Config(
        create_app(), access_log=False, log_level="warning", timeout_graceful_shutdown=GRACE
    )
    try:
        # Bound here: uvicorn's own exit code for a taken port, 3, says something else in ours.
        listener = socket.create_server((options.host, options.port), backlog=2048)
    except OSError as error:
        sys.stderr.write(f"api: cannot listen: {error.strerror}\n")
        return 1
    with listener:
        uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
