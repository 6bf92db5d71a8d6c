"""Ending a process that has met Temporal."""

import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End this process now, with its own exit code.

    Threads of Temporal's core may call into an interpreter that is being taken down, which aborts
    the process: one in 25 then ended with 134. Everything that must be closed is closed by then.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def leave_within(seconds: float, code: int, before: Callable[[], None]) -> None:
    """Leave then, after `before`, if the process has not ended by itself; returns at once.

    For one that was told to end: its ways of ending wait for others, who may hang. A thread does
    it, so that nothing which hangs in here can keep it.
    """

    def work() -> None:
        try:
            before()
        finally:
            leave(code)

    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()
