"""`python -m starter.dev`: the stack without the rest of the command line."""

import argparse
import os
import sys
from pathlib import Path

from shared.errors import TaskflowError
from starter.dev.command import run_dev
from starter.dev.options import ALL_PARTS, DevOptions


def main() -> int:
    """Exit code of `run_dev`, or 1 with one message when the stack does not start."""
    parser = argparse.ArgumentParser(prog="python -m starter.dev")
    for option in ("--port", "--ui-port", "--api-port", "--sandbox-port", "--metrics-port"):
        parser.add_argument(option, type=int)
    parser.add_argument("--db", type=Path)
    parser.add_argument("--parts", nargs="+", choices=ALL_PARTS, default=list(ALL_PARTS))
    given = parser.parse_args()
    try:
        return run_dev(
            DevOptions(
                port=given.port,
                ui_port=given.ui_port,
                api_port=given.api_port,
                sandbox_port=given.sandbox_port,
                metrics_port=given.metrics_port,
                db=given.db,
                parts=tuple(given.parts),
                plugin_url=os.environ.get("TASKFLOW_PLUGIN_URL"),
            )
        )
    except TaskflowError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
