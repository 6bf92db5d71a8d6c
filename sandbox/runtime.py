"""The execute route: counts a delivery, waits as long as told, and ends it as scripted."""

from collections.abc import Mapping

from pydantic import JsonValue
from starlette.types import Scope

from sandbox.delivery import read_delivery
from sandbox.endpoint import Endpoint, Sleepers, now
from sandbox.journal import Journal
from sandbox.knobs import Knobs, Outcome
from sandbox.ledger import Entry, Ledger
from sandbox.problems import Problem
from sandbox.wire import Exchange, failure_body, success_body

_SECOND_BETWEEN_BLANKS = 1.0
_DEFAULT = Knobs()


class PluginRuntime(Endpoint):
    """All plugins of the sandbox: their knobs, what they did, and where it is written."""

    def __init__(
        self, journal: Journal, sleepers: Sleepers, ledger: Ledger, knobs: Mapping[str, Knobs]
    ) -> None:
        super().__init__(journal, sleepers)
        self.knobs: dict[str, Knobs] = dict(knobs)
        self.ledger = ledger
        self._configured = dict(knobs)

    async def serve(self, scope: Scope, body: bytes, exchange: Exchange) -> None:
        """One delivery, from its arrival to its end."""
        entry = read_delivery(scope, body, self.ledger, now())
        self._write(self.ledger.arrive(entry))
        await self._run(entry, exchange)

    async def reset(self) -> None:
        """Back to the knobs of the config file and an empty memory; the log is marked."""
        self.knobs = dict(self._configured)
        await self._commit(self.ledger.reset(now()))

    async def _run(self, entry: Entry, exchange: Exchange) -> None:
        knobs = self.knobs.get(entry.sent["plugin_id"], _DEFAULT)
        if not entry.stale and not await self._sleep(knobs.latency):
            await self._end(entry, "stopped")
            await exchange.close()
        elif entry.stale:
            await self._refuse_stale(entry, exchange)
        else:
            effect_done = entry.memory.effect is not None
            outcome = knobs.outcome(entry.sent["delivery"], effect_done=effect_done)
            await self._conclude(entry, outcome, knobs.result, exchange)

    async def _conclude(
        self, entry: Entry, outcome: Outcome, result: JsonValue, exchange: Exchange
    ) -> None:
        # An effect is on disk before its answer goes out: an answer that a kill makes untrue
        # would show up as a second effect after the restart.
        match outcome.kind:
            case "ok":
                await self._effect(entry, outcome, result)
                await exchange.answer(200, success_body(entry.memory.result))
            case "accept":
                await self._effect(entry, outcome, result)
                await exchange.answer(202, b"{}")
            case "drop":
                await self._effect(entry, outcome, result)
                await exchange.close()
            case "slow":
                await self._answer_slowly(entry, outcome, result, exchange)
            case "hang":
                await exchange.until_gone()
                await self._end(entry, outcome.text)
            case _:
                await self._end(entry, outcome.text)
                await _fail(outcome, result, exchange)

    async def _answer_slowly(
        self, entry: Entry, outcome: Outcome, result: JsonValue, exchange: Exchange
    ) -> None:
        left = outcome.seconds or 0.0
        await exchange.begin_slowly()
        while left > 0:
            step = min(left, _SECOND_BETWEEN_BLANKS)
            if not await self._sleep(step):
                await self._end(entry, "stopped")
                await exchange.close()
                return
            await exchange.blank()
            left -= step
        if entry.stale:  # too late for a 409: the blanks stay without a document
            await self._end(entry, "stale")
            await exchange.close()
            return
        await self._effect(entry, outcome, result)
        await exchange.end_slowly(success_body(entry.memory.result))

    async def _refuse_stale(self, entry: Entry, exchange: Exchange) -> None:
        await self._end(entry, "stale")
        detail = f"fence {entry.sent['fence']} is below {entry.memory.fence}, seen for this key"
        await exchange.refuse(Problem(409, "STALE_FENCE", detail))

    async def _effect(self, entry: Entry, outcome: Outcome, result: JsonValue) -> None:
        await self._commit(self.ledger.end(entry, outcome.text, now(), effect=True, result=result))

    async def _end(self, entry: Entry, outcome: str) -> None:
        await self._commit(self.ledger.end(entry, outcome, now(), effect=False))


async def _fail(outcome: Outcome, result: JsonValue, exchange: Exchange) -> None:
    """The outcomes that leave no effect behind."""
    match outcome.kind:
        case "fail" | "reject":
            retryable = outcome.kind == "fail"
            body = failure_body(outcome.code or "", retryable=retryable)
            await exchange.answer(200, body)
        case "status":
            await exchange.refuse_as_told(outcome.status, outcome.seconds)
        case "reset":
            await exchange.reset()
        case "truncate":
            await exchange.truncate(success_body(result))
        case "garbage":
            await exchange.garble()
        case _:  # pragma: no cover - the caller hands over only the kinds above
            raise AssertionError(outcome)
