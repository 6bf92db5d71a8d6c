"""`python -m worker`: run a worker until a signal ends it."""

import asyncio
import sys

from domain.problems import InvalidInput
from shared import log, tracing
from shared.errors import TaskflowError
from shared.leave import leave
from shared.settings import get_settings
from worker.main import run_worker


def main() -> int:
    """Exit code 0 after a signal, 1 when the worker cannot run as it is configured."""
    settings = get_settings()
    log.configure(settings)
    log.forward_core()
    tracing.configure("taskflow-worker")
    try:
        asyncio.run(run_worker(settings))
    except InvalidInput as error:
        for problem in error.problems:
            print(f"{error.source}: {problem}", file=sys.stderr)  # noqa: T201 - a process's last words
        return 1
    except TaskflowError as error:
        print(f"worker: {error}", file=sys.stderr)  # noqa: T201 - a process's last words
        return 1
    finally:
        tracing.close()
    return 0


if __name__ == "__main__":
    leave(main())
