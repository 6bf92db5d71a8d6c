"""Work that a plugin accepted with a 202: done in its time, and reported by the plugin kit.

`accept:SECONDS` works for so long. On the way it reports RUNNING, each second, with the part that
is done as `{"done": 0.25}`; it ends with the effect of its key, and only then reports SUCCESS with
the plugin's result. The delivery is under way until the work has ended:

| outcome | when | last report |
|---|---|---|
| `accept:SECONDS` | the time is over; the effect is done | SUCCESS |
| `cancelled` | it is cancelled, or a report is answered with `cancel_requested` | FAILED, final |
| `late` | the deadline of the attempt comes first | FAILED, to be tried again |
| `stale` | a higher fence was seen, or the scheduler says that the attempt is over | none |
| `stopped` | the sandbox ends; a restart does not go on with it | none |

With the knob `cancel` on `unsupported` a `cancel_requested` changes nothing either. With `reports`
on `end` nothing is reported on the way, not even that it is still at work: thousands of pieces may
then be under way at once, if their tasks bear the silence (`heartbeat_timeout`).
"""

import asyncio
import contextlib
import json
from dataclasses import dataclass

from pydantic import JsonValue

from pluginkit.answers import CANCELLED, Answer, failure, success
from pluginkit.call import Call
from pluginkit.heralds import Herald
from pluginkit.keys import Memory
from pluginkit.reports import Reporter
from pluginkit.work import Stopped, Work
from sandbox.endpoint import Sleepers, now
from sandbox.journal import Journal, JournalError
from sandbox.knobs import Knobs, Outcome
from sandbox.ledger import Entry, Ledger

_SECOND_BETWEEN_REPORTS = 1.0


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one delivery asks for, and how it goes."""

    entry: Entry
    outcome: Outcome
    knobs: Knobs
    call: Call
    work: Work


class AcceptedWork:
    """All work that is under way after its 202. Used from one event loop, until `close`."""

    def __init__(
        self, journal: Journal, sleepers: Sleepers, ledger: Ledger, reporter: Reporter
    ) -> None:
        self._journal = journal
        self._sleepers = sleepers
        self._ledger = ledger
        self._reporter = reporter
        self._works: set[Work] = set()
        self._doing: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[None]] = set()

    def begin(self, entry: Entry, outcome: Outcome, knobs: Knobs) -> None:
        """Have the work of a delivery done from now on, and tell of it."""
        assert entry.execution is not None  # noqa: S101 - it came just now, and not from the log

        async def tell(progress: JsonValue, message: str | None) -> None:
            await work.tell(progress, message)

        async def unwanted() -> None:
            self._unwanted(piece)

        sent = entry.sent
        call = Call(sent["plugin_id"], entry.execution, sent["traceparent"], tell)
        work = Work(call, Memory())
        piece = _Piece(entry, outcome, knobs, call, work)
        self._works.add(work)
        herald = Herald(work, self._reporter, unwanted, beats=knobs.reports == "progress")
        telling = asyncio.create_task(herald.tell())
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        doing = asyncio.create_task(self._do(piece, telling))
        self._doing.add(doing)
        doing.add_done_callback(self._doing.discard)

    async def close(self) -> None:
        """End all of it at once; what was under way has had no effect, and is not reported."""
        for work in self._works:
            work.stop(Stopped.CLOSING)
        for telling in self._telling:
            telling.cancel()
        await asyncio.gather(*self._doing, *self._telling, return_exceptions=True)
        await self._reporter.close()

    async def _do(self, piece: _Piece, telling: asyncio.Task[None]) -> None:
        async def labour(_: Call) -> JsonValue:
            return await self._labour(piece)

        work = piece.work
        answer = await work.run(labour, piece.call)
        self._works.discard(work)
        try:
            told = await self._end(piece, answer)
        except JournalError as error:
            told = failure("LOG_FAILED", str(error), retryable=True)
        if told is None:
            telling.cancel()
            return
        work.ended.set_result(told)
        work.news.set()

    async def _labour(self, piece: _Piece) -> bool:
        """Work as long as was told; whether it came to the end."""
        memory = piece.entry.memory
        whole = left = piece.outcome.seconds or 0.0
        if piece.knobs.reports == "end":
            return not memory.cancelled and await self._sleepers.sleep(whole, memory)
        while left > 0:
            await piece.call.progress({"done": round(1 - left / whole, 3)})
            step = min(left, _SECOND_BETWEEN_REPORTS)
            if memory.cancelled or not await self._sleepers.sleep(step, memory):
                return False
            left -= step
        return True

    async def _end(self, piece: _Piece, answer: Answer) -> Answer | None:
        """Write down what it came to, with its effect; what is to be told, if anything."""
        entry, stopped = piece.entry, piece.work.stopped
        if entry.memory.cancelled and entry.memory.effect is None:
            word, told = "cancelled", CANCELLED
        elif entry.stale or stopped is Stopped.SUPERSEDED:
            word, told = "stale", None
        elif stopped is Stopped.DEADLINE:
            word, told = "late", answer
        elif answer.result is not True:
            word, told = "stopped", None
        else:
            # On disk before it is told, as before an answer.
            line = self._ledger.end(
                entry, piece.outcome.text, now(), effect=True, result=piece.knobs.result
            )
            await self._journal.commit(json.dumps(line).encode())
            return success(entry.memory.result)
        self._write(self._ledger.end(entry, word, now(), effect=False))
        return told

    def _unwanted(self, piece: _Piece) -> None:
        """The scheduler said so when it was told of the work."""
        entry, memory = piece.entry, piece.entry.memory
        done = memory.cancelled or memory.effect is not None
        if done or piece.knobs.cancel == "unsupported":
            return
        # As in a cancellation: known before it is on disk, lest an effect come meanwhile.
        memory.cancelled = True
        self._sleepers.wake(memory)
        if self._ledger.memory(entry.sent["key"]) is memory:  # no reset came since
            with contextlib.suppress(JournalError):
                self._write(self._ledger.unwanted(entry.sent["key"], now()))

    def _write(self, line: object) -> None:
        self._journal.append(json.dumps(line).encode())
