"""Run a command that does not outlive the process that started it.

    python leash.py PARENT_PID PROGRAM [ARGUMENT...]

Linux kills the command when its parent dies, even by SIGKILL; elsewhere it just runs. This is a
program of its own and not a `preexec_fn`, because Python between fork and exec can deadlock in a
process with threads, and the Temporal client has threads. It imports nothing of ours: it runs once
per child.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_STARTED = 127


def main(parent: int, argv: list[str]) -> int:
    """Become `argv`, tied to the life of process `parent`; returns only when that is impossible."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  # half of this program's start-up time: where it is needed only

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # A parent that died before the call above sends no signal any more.
        if os.getppid() != parent:
            return NOT_STARTED
    try:
        os.execv(argv[0], argv)  # noqa: S606  # no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{argv[0]} cannot be run: {error.strerror}\n")
    return NOT_STARTED


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
