"""Whether the process of this container is well: exit code 0 or 1, and a line that says why not.

With a URL it is well when that answers 200, with `worker` when it is a worker that has said it is
ready. Without either it is such a worker, or else an API on its usual port. Nothing but Python's
own library: a probe is to be cheap.
"""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

API = "http://127.0.0.1:8088/readyz"
WORKER = "worker"
SECONDS = 4.0


def problem(asked: str | None) -> str | None:
    """What is wrong, or None."""
    ready_file = os.environ.get("TASKFLOW_READY_FILE")
    if asked in (None, WORKER) and ready_file and Path(ready_file).exists():
        return None
    if asked == WORKER:
        return f"the worker has not made {ready_file}, as it does when it is ready"
    return _answer(asked or API)


def _answer(url: str) -> str | None:
    # No proxy of the environment stands between a container and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}: {error.read(1000).decode(errors='replace')}"
    except OSError as error:
        return f"{url} does not answer: {error}"


if __name__ == "__main__":
    said = problem(sys.argv[1] if len(sys.argv) > 1 else None)
    sys.exit(said)
