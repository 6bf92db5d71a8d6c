"""`taskflow dev`: the stack in the foreground, until a signal."""

import asyncio
import os
import signal
import sys

from shared.temporal import DEFAULT_ADDRESS
from starter.dev.options import DevOptions
from starter.dev.stack import DevStack, dev_stack

ENDED, FAILED = 0, 1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_dev(options: DevOptions) -> int:
    """Start the stack, say so part by part, and hold it until SIGINT, SIGTERM or SIGHUP.

    A second signal kills at once what has not ended yet. The answer is an exit code: 0 when it was
    ended after it was ready, 1 when a part could not be kept running or it was ended before that.
    Errors: those of `dev_stack`, with everything that was started already taken down.
    """
    return asyncio.run(_run(options))


async def _run(options: DevOptions) -> int:
    code = FAILED
    _cancel_on_signals()
    try:
        async with dev_stack(options, _say) as stack:
            _say_ready(stack)
            code = ENDED
            await stack.tree.gave_up()
            code = FAILED
    except asyncio.CancelledError:
        pass  # a signal: the context above has taken everything down
    return code


def _cancel_on_signals() -> None:
    """The first signal starts an orderly end; the next reaches `ProcessTree.stop`, which kills."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupt() -> None:
        if task:
            if not task.cancelling():
                _say("taskflow dev: stopping (once more to kill at once)")
            task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)


def _say_ready(stack: DevStack) -> None:
    if stack.own_server and stack.address != DEFAULT_ADDRESS:
        names = [name for name in stack.env if name.startswith("TEMPORAL_")]
        exports = " ".join(f"{name}={stack.env[name]}" for name in sorted(names))
        _say(f"Use it from another terminal: export {exports}")
    _say("taskflow dev: ready")


def _say(line: str) -> None:
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        # Whoever read our output is gone; the stack is worth keeping.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
