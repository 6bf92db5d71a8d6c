"""All executions of a plugin: begins work, has deliveries wait for it, stops it, tells of it."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from weakref import WeakValueDictionary

from pluginkit.answers import CANCELLED, Answer
from pluginkit.call import Call
from pluginkit.heralds import Herald
from pluginkit.keys import Memory, check_fence
from pluginkit.problems import Problem
from pluginkit.reports import Reporter
from pluginkit.requests import Execution
from pluginkit.stores import Store, StoreError
from pluginkit.work import TOO_LATE, Action, Stopped, Work

log = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
"""For work that was told to stop at a shutdown, and for its last reports."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one delivery asks for. `accept_after` seconds the call is left and reports follow."""

    plugin_id: str
    execution: Execution
    traceparent: str
    action: Action
    accept_after: float

    @property
    def key(self) -> str:
        """What the store knows the execution by."""
        return key_of(self.plugin_id, self.execution.run_id)


def key_of(plugin_id: str, run_id: str) -> str:
    """What the store knows an execution by: no plugin id has a colon."""
    return f"{plugin_id}:{run_id}"


class Executions:
    """Used from one event loop. Without a `reporter` every call waits for the end of its work."""

    def __init__(self, store: Store, reporter: Reporter | None, most: int) -> None:
        self._store = store
        self._reporter = reporter
        self._most = most
        self._works: dict[str, Work] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def deliver(self, asked: Asked) -> Answer | None:
        """How the execution ended; None when it was accepted, and reports follow.

        Raises Problem: 409 for a stale delivery, 503 when it cannot be taken just now.
        """
        while True:
            found = await self._arrive(asked)
            if not isinstance(found, Work):
                return found
            if found.stopped in {None, Stopped.CANCELLED}:
                return await self._answer(found, asked.execution)
            # It was told to stop and is still at it: never are two at work on one key.
            await asyncio.wait({found.ended})

    async def cancel(self, plugin_id: str, run_id: str) -> None:
        """Stop the execution, and let it never begin again. Raises Problem: 404, 409, 503."""
        key = key_of(plugin_id, run_id)
        async with self._lock(key):
            work = self._works.get(key)
            memory = work.memory if work else await self._load(key)
            if memory is None:
                raise Problem(404, "NO_SUCH_EXECUTION", f"this plugin never got the key {run_id}")
            if memory.answer and memory.answer != CANCELLED:
                raise Problem(409, "ALREADY_FINISHED", f"the execution of {run_id} is over")
            memory = Memory(memory.fence, CANCELLED)
            await self._save(key, memory)
            if work and not work.ended.done():
                work.memory = memory
                work.stop(Stopped.CANCELLED)

    async def close(self, grace: float) -> None:
        """Take nothing more, let work go on for `grace` seconds, then stop it and say so."""
        self._closing = True
        ends = {work.ended for work in self._works.values()}
        if ends:
            await asyncio.wait(ends, timeout=grace)
        for work in self._works.values():
            work.stop(Stopped.CLOSING)
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._reporter:
            await self._reporter.close()
        with contextlib.suppress(StoreError):
            await self._store.close()

    async def _arrive(self, asked: Asked) -> Answer | Work:
        """What there is for a delivery: an answer that stands, or work to wait for."""
        key, execution = asked.key, asked.execution
        async with self._lock(key):
            work = self._works.get(key)
            known = work.memory if work else await self._load(key) or Memory()
            check_fence(execution.fence, known.fence)
            memory = known.seen(execution.fence)
            if work is None and memory.answer is None:
                self._check_room()
            if memory != known or (work is None and memory.answer is None):
                await self._save(key, memory)
            if work is None:
                if memory.answer:
                    return memory.answer
                if execution.left(datetime.now(UTC)) <= 0:
                    return TOO_LATE
                return self._begin(asked, memory)
            work.memory = memory
            if work.stopped is None:
                work.join(execution, memory)
            return work

    def _begin(self, asked: Asked, memory: Memory) -> Work:
        async def tell(progress: Any, message: str | None) -> None:
            await work.tell(progress, message)

        call = Call(asked.plugin_id, asked.execution, asked.traceparent, tell)
        work = Work(call, memory)
        self._works[asked.key] = work
        self._spawn(self._run(asked, call, work))
        return work

    async def _run(self, asked: Asked, call: Call, work: Work) -> None:
        """Do it, remember how it ended, and only then say so."""
        patience: asyncio.TimerHandle | None = None
        if self._reporter:
            loop = asyncio.get_running_loop()
            patience = loop.call_later(asked.accept_after, self._accept, asked.key, work)
        answer = await work.run(asked.action, call)
        if patience:
            patience.cancel()
        async with self._lock(asked.key):
            kept = work.memory.ended(answer)
            if kept != work.memory:
                work.memory = kept
                try:
                    await self._store.save(asked.key, kept)
                except StoreError:
                    # It is done, and that is the truth; asked again it might be done twice.
                    log.exception(
                        "the success of %s is not remembered",
                        call.key,
                        extra={"action": "success_not_remembered"},
                    )
            del self._works[asked.key]
            work.ended.set_result(answer)
        work.news.set()

    def _accept(self, key: str, work: Work) -> None:
        """From now on calls are answered at once, and reports say what became of the work."""
        if self._reporter is None or work.ended.done() or work.newest.nonce is None:
            return
        work.accepted.set()
        herald = Herald(work, self._reporter, lambda: self._cancel_wanted(key, work))
        self._spawn(herald.tell())

    async def _cancel_wanted(self, key: str, work: Work) -> None:
        """A report was answered so."""
        with contextlib.suppress(Problem):  # it has just succeeded, or cannot be remembered
            await self.cancel(*key.split(":", 1))
        if not work.ended.done():
            work.stop(Stopped.CANCELLED)

    async def _answer(self, work: Work, execution: Execution) -> Answer | None:
        accepted = asyncio.ensure_future(work.accepted.wait())
        waiting: set[asyncio.Future[Any]] = {work.ended}
        if execution.nonce is not None:
            waiting.add(accepted)
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            accepted.cancel()
        check_fence(execution.fence, work.memory.fence)
        return work.ended.result() if work.ended.done() else None

    def _check_room(self) -> None:
        if self._closing or len(self._works) >= self._most:
            reason = "is shutting down" if self._closing else f"works on {self._most} already"
            headers = {"retry-after": "1"}
            raise Problem(503, "BUSY", f"the plugin {reason}: come again", headers=headers)

    async def _load(self, key: str) -> Memory | None:
        try:
            return await self._store.load(key)
        except StoreError as error:
            raise _not_remembered(error) from error

    async def _save(self, key: str, memory: Memory) -> None:
        try:
            await self._store.save(key, memory)
        except StoreError as error:
            raise _not_remembered(error) from error

    def _lock(self, key: str) -> asyncio.Lock:
        """One at a time decides about a key."""
        return self._locks.setdefault(key, asyncio.Lock())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _not_remembered(error: StoreError) -> Problem:
    log.error("the store fails: %s", error, extra={"action": "store_failed"})
    headers = {"retry-after": "5"}
    return Problem(503, "STORE_FAILED", "the plugin cannot remember anything now", headers=headers)
