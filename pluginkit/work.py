"""One piece of work under way: the task that does it, who waits for it, why it may be stopped."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import JsonValue

from pluginkit.answers import CANCELLED, MAX_MESSAGE, Answer, PluginError, failure, judged
from pluginkit.call import Call
from pluginkit.keys import Memory
from pluginkit.requests import Execution

log = logging.getLogger(__name__)

MAX_PROGRESS_BYTES = 16 * 1024

Action = Callable[[Call], Awaitable[JsonValue]]


class Stopped(StrEnum):
    """Why work was told to stop."""

    CANCELLED = "nobody wants it any more"
    DEADLINE = "its deadline is past"
    SUPERSEDED = "the scheduler has given this attempt up"
    CLOSING = "the plugin is shutting down"


_ANSWERS = {
    Stopped.CANCELLED: CANCELLED,
    Stopped.DEADLINE: failure(
        "DEADLINE_EXCEEDED", "the work was not done by its deadline", retryable=True
    ),
    Stopped.SUPERSEDED: failure(
        "SUPERSEDED", "the scheduler had given this attempt up", retryable=True
    ),
    Stopped.CLOSING: failure("PLUGIN_STOPPED", "the plugin was shut down", retryable=True),
}
TOO_LATE = _ANSWERS[Stopped.DEADLINE]


class Work:
    """Used from one event loop. Deliveries that come while it is done `join` it.

    `newest` is the delivery that reports are about; `memory` what is remembered of its key.
    `progress` and `message` are the last that were told, `news` is set when there are any.
    """

    def __init__(self, call: Call, memory: Memory) -> None:
        self.plugin_id = call.plugin_id
        self.memory = memory
        self.newest = call.execution
        self.accepted = asyncio.Event()
        self.ended: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.stopped: Stopped | None = None
        self.progress: JsonValue = None
        self.message: str | None = None
        self.news = asyncio.Event()
        self._task: asyncio.Task[JsonValue] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def join(self, execution: Execution, memory: Memory) -> None:
        """Another delivery of the same key: the work has as long as the one that has longest."""
        later = max(self.newest.deadline, execution.deadline)
        self.memory = memory
        self.newest = execution.model_copy(update={"deadline": later})
        self._set_alarm()
        self.news.set()  # heartbeats may have to come more often from now on

    def stop(self, why: Stopped) -> None:
        """Cancel the work, once: what it cleans up after it was told is not to be cut off.

        The first reason counts, but that nobody wants it any more always does.
        """
        first = self.stopped is None
        if first or why is Stopped.CANCELLED:
            self.stopped = why
        if first and self._task:
            self._task.cancel()

    async def run(self, action: Action, call: Call) -> Answer:
        """Have it done; how it ended."""
        self._task = asyncio.create_task(_awaited(action, call))
        if self.stopped:  # before it had begun
            self._task.cancel()
        self._set_alarm()
        try:
            await asyncio.wait({self._task})
        finally:
            if self._alarm:
                self._alarm.cancel()
        return self._answer_of(self._task)

    async def tell(self, progress: JsonValue, message: str | None) -> None:
        """What the work says of itself. Errors: `ValueError`."""
        (message or "").encode()  # as the report will be
        size = len(json.dumps(progress, ensure_ascii=False, allow_nan=False).encode())
        if size > MAX_PROGRESS_BYTES:
            raise ValueError(f"the progress has more than {MAX_PROGRESS_BYTES} bytes: summarize it")
        self.progress, self.message = progress, message[:MAX_MESSAGE] if message else None
        self.news.set()
        await asyncio.sleep(0)  # here the work learns that it was told to stop

    def _set_alarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        left = max(0.0, self.newest.left(datetime.now(UTC)))
        self._alarm = asyncio.get_running_loop().call_later(left, self.stop, Stopped.DEADLINE)

    def _answer_of(self, task: "asyncio.Task[JsonValue]") -> Answer:
        """What was done counts, whatever it was told meanwhile."""
        error = None if task.cancelled() else task.exception()
        if not task.cancelled() and error is None:
            return judged(task.result())
        if self.stopped:
            return _ANSWERS[self.stopped]
        if isinstance(error, PluginError):
            return failure(error.code, error.message, retryable=error.retryable)
        log.error(
            "%s failed on %s",
            self.plugin_id,
            self.newest.run_id,
            exc_info=error,
            extra={"action": "plugin_failed"},
        )
        name = type(error).__name__ if error else "CancelledError"
        return failure("PLUGIN_ERROR", f"unexpected {name}: see the plugin's log", retryable=True)


async def _awaited(action: Action, call: Call) -> JsonValue:
    return await action(call)
