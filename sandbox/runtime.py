"""The execute route: counts a delivery, waits as long as told, and ends it as scripted."""

import asyncio
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue
from starlette.types import Scope

from pluginkit.answers import CANCELLED, failure, success
from pluginkit.keys import stale
from sandbox.delivery import read_delivery
from sandbox.endpoint import Endpoint, Sleepers, now
from sandbox.journal import Journal
from sandbox.knobs import Knobs, Outcome
from sandbox.ledger import Entry, Ledger
from sandbox.signatures import Callers
from sandbox.wire import Exchange

if TYPE_CHECKING:
    from sandbox.accepted import AcceptedWork

_SECOND_BETWEEN_BLANKS = 1.0
_DEFAULT = Knobs()


class UnknownKeyError(Exception):
    """No plugin got the key."""


class NoSchedulerError(Exception):
    """A script asks for reports, and nobody is there to take them."""


class CancelledKeyError(Exception):
    """The key was cancelled: it never has an effect."""


class PluginRuntime(Endpoint):
    """All plugins of the sandbox: their knobs, what they did, and where it is written."""

    def __init__(
        self,
        journal: Journal,
        sleepers: Sleepers,
        ledger: Ledger,
        knobs: Mapping[str, Knobs],
        *,
        callers: Callers,
        accepted: "AcceptedWork | None" = None,
    ) -> None:
        """`accepted`: what reports work; None where there is no scheduler to report to."""
        super().__init__(journal, sleepers)
        self.knobs: dict[str, Knobs] = dict(knobs)
        self.ledger = ledger
        self.callers = callers
        self._accepted = accepted
        self._configured = dict(knobs)

    async def serve(self, scope: Scope, body: bytes, exchange: Exchange) -> None:
        """One delivery, from its arrival to its end."""
        signed = self.callers.check(scope, body)
        entry = read_delivery(scope, body, self.ledger, now(), signed=signed)
        self._write(self.ledger.arrive(entry))
        await self._run(entry, exchange)

    def configure(self, plugin_id: str, knobs: Knobs) -> None:
        """Set the knobs of a plugin. Raises NoSchedulerError."""
        if self._accepted is None:
            check_unreported(knobs)
        self.knobs[plugin_id] = knobs

    def knobs_of(self, plugin_id: str) -> Knobs:
        """How a plugin behaves now."""
        return self.knobs.get(plugin_id, _DEFAULT)

    async def effect_later(self, key: str) -> None:
        """The effect of work that was accepted for later, now; a second one changes nothing.

        Raises UnknownKeyError for a key that no plugin got, CancelledKeyError for a cancelled one.
        """
        memory = self.ledger.keys.get(key)
        if memory is None or not memory.entries:
            raise UnknownKeyError(f"no plugin got the key {key}")
        if memory.cancelled:
            raise CancelledKeyError(f"the execution of {key} was cancelled")
        if memory.effect is None:
            result = self.knobs_of(memory.entries[-1].sent["plugin_id"]).result
            await self._commit(self.ledger.effect_later(key, now(), result))

    async def reset(self) -> None:
        """Back to the knobs of the config file and an empty memory; the log is marked."""
        self.knobs = dict(self._configured)
        await self._commit(self.ledger.reset(now()))

    async def close(self) -> None:
        """End the work that is under way after its 202."""
        if self._accepted is not None:
            await self._accepted.close()

    async def _run(self, entry: Entry, exchange: Exchange) -> None:
        knobs = self.knobs_of(entry.sent["plugin_id"])
        settled = entry.stale or entry.memory.cancelled
        if not settled and not await self._wait(entry, knobs.latency):
            await self._end(entry, "stopped")
            await exchange.close()
        elif entry.stale:
            await self._refuse_stale(entry, exchange)
        elif entry.memory.cancelled:
            await self._end(entry, "cancelled")
            await exchange.answer(200, CANCELLED.body())
        else:
            effect_done = entry.memory.effect is not None
            outcome = knobs.outcome(entry.sent["delivery"], effect_done=effect_done)
            await self._conclude(entry, outcome, knobs, exchange)

    async def _conclude(
        self, entry: Entry, outcome: Outcome, knobs: Knobs, exchange: Exchange
    ) -> None:
        result = knobs.result
        # An effect is on disk before its answer goes out: an answer that a kill makes untrue
        # would show up as a second effect after the restart.
        match outcome.kind:
            case "ok":
                await self._effect(entry, outcome, result)
                await exchange.answer(200, success(entry.memory.result).body())
            case "accept":
                await self._effect(entry, outcome, result)
                await exchange.answer(202, b"{}")
            case "accept-later":
                done = entry.memory.effect is not None
                await self._commit(self.ledger.end(entry, outcome.text, now(), effect=done))
                await exchange.answer(202, b"{}")
            case "accept-report" if self._accepted is not None:
                await exchange.answer(202, b"{}")
                self._accepted.begin(entry, outcome, knobs)
            case "drop":
                await self._effect(entry, outcome, result)
                await exchange.close()
            case "slow":
                await self._answer_slowly(entry, outcome, result, exchange)
            case "hang":
                await self._hang(entry, outcome, exchange)
            case _:
                await self._end(entry, outcome.text)
                await _fail(outcome, result, exchange)

    async def _hang(self, entry: Entry, outcome: Outcome, exchange: Exchange) -> None:
        gone = asyncio.create_task(exchange.until_gone())
        woken = asyncio.create_task(self._sleep(math.inf, entry.memory))
        try:
            await asyncio.wait({gone, woken}, return_when=asyncio.FIRST_COMPLETED)
            if not entry.memory.cancelled:
                await gone
        finally:
            gone.cancel()
            woken.cancel()
        if entry.memory.cancelled:
            await self._end(entry, "cancelled")
            await exchange.answer(200, CANCELLED.body())
        else:
            await self._end(entry, outcome.text)

    async def _answer_slowly(
        self, entry: Entry, outcome: Outcome, result: JsonValue, exchange: Exchange
    ) -> None:
        left = outcome.seconds or 0.0
        await exchange.begin_slowly()
        while left > 0 and not entry.memory.cancelled:
            step = min(left, _SECOND_BETWEEN_BLANKS)
            if not await self._wait(entry, step):
                await self._end(entry, "stopped")
                await exchange.close()
                return
            await exchange.blank()
            left -= step
        if entry.stale:  # too late for a 409: the blanks stay without a document
            await self._end(entry, "stale")
            await exchange.close()
            return
        if entry.memory.cancelled:
            await self._end(entry, "cancelled")
            await exchange.end_slowly(CANCELLED.body())
            return
        await self._effect(entry, outcome, result)
        await exchange.end_slowly(success(entry.memory.result).body())

    async def _refuse_stale(self, entry: Entry, exchange: Exchange) -> None:
        await self._end(entry, "stale")
        await exchange.refuse(stale(entry.sent["fence"], entry.memory.fence))

    async def _wait(self, entry: Entry, seconds: float) -> bool:
        """Wait, but not on when the execution is cancelled; False when the sandbox stops."""
        return await self._sleep(seconds, entry.memory) or entry.memory.cancelled

    async def _effect(self, entry: Entry, outcome: Outcome, result: JsonValue) -> None:
        await self._commit(self.ledger.end(entry, outcome.text, now(), effect=True, result=result))

    async def _end(self, entry: Entry, outcome: str) -> None:
        await self._commit(self.ledger.end(entry, outcome, now(), effect=False))


def check_unreported(knobs: Knobs) -> None:
    """Raises NoSchedulerError for a script whose work is to be reported."""
    word = next((outcome.text for outcome in knobs.outcomes if outcome.reports), None)
    if word is not None:
        raise NoSchedulerError(
            f"{word!r} reports to a scheduler, and this sandbox knows none: start it with"
            " --scheduler-url and --secret-file"
        )


async def _fail(outcome: Outcome, result: JsonValue, exchange: Exchange) -> None:
    """The outcomes that leave no effect behind."""
    match outcome.kind:
        case "fail" | "reject":
            retryable = outcome.kind == "fail"
            code = outcome.code or ""
            said = failure(code, f"the sandbox was told to fail with {code}", retryable=retryable)
            await exchange.answer(200, said.body())
        case "status":
            await exchange.refuse_as_told(outcome.status, outcome.seconds)
        case "reset":
            await exchange.reset()
        case "truncate":
            await exchange.truncate(success(result).body())
        case "garbage":
            await exchange.garble()
        case _:  # pragma: no cover - the caller hands over only the kinds above
            raise AssertionError(outcome)
