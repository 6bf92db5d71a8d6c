"""The execute route: counts a delivery, waits as long as told, and ends it as scripted.

It is a bare ASGI endpoint, not a FastAPI function: benchmarks run beside it, so every request
has to be cheap, and breaking a connection needs what lies below the framework.
"""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import JsonValue
from starlette.types import Receive, Scope, Send

from sandbox.delivery import read_delivery
from sandbox.journal import Journal, JournalError
from sandbox.knobs import Knobs, Outcome
from sandbox.ledger import Entry, Ledger
from sandbox.problems import Problem
from sandbox.wire import Exchange, failure_body, success_body

_SECOND_BETWEEN_BLANKS = 1.0
_DEFAULT = Knobs()


def now() -> str:
    """The time as the log writes it: RFC 3339, UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class PluginRuntime:
    """All plugins of the sandbox: their knobs, what they did, and where it is written."""

    def __init__(self, journal: Journal, ledger: Ledger, knobs: Mapping[str, Knobs]) -> None:
        self.knobs: dict[str, Knobs] = dict(knobs)
        self.ledger = ledger
        self._configured = dict(knobs)
        self._journal = journal
        self._sleepers: set[asyncio.Future[bool]] = set()
        self._stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one execute request (ASGI)."""
        exchange = Exchange(scope, receive, send)
        body = await exchange.read_body()
        if body is None:
            return
        try:
            entry = read_delivery(scope, body, self.ledger, now())
            self._write(self.ledger.arrive(entry))
            await self._run(entry, exchange)
        except Problem as problem:
            await exchange.refuse(problem)
        except JournalError as error:
            if exchange.begun:
                await exchange.close()
            else:
                await exchange.refuse(Problem(500, "LOG_FAILED", str(error)))

    async def reset(self) -> None:
        """Back to the knobs of the config file and an empty memory; the log is marked."""
        self.knobs = dict(self._configured)
        await self._journal.commit(json.dumps(self.ledger.reset(now())).encode())

    def stop(self) -> None:
        """Wake every delivery that waits: it ends as `stopped`, without effect or answer."""
        self._stopping = True
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(False)

    async def _run(self, entry: Entry, exchange: Exchange) -> None:
        knobs = self.knobs.get(entry.plugin_id, _DEFAULT)
        if not entry.stale and not await self._sleep(knobs.latency):
            await self._end(entry, "stopped")
            await exchange.close()
        elif entry.stale:
            await self._refuse_stale(entry, exchange)
        else:
            effect_done = entry.memory.effect is not None
            outcome = knobs.outcome(entry.delivery, effect_done=effect_done)
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
        detail = f"fence {entry.fence} is below {entry.memory.fence}, seen for this key"
        await exchange.refuse(Problem(409, "STALE_FENCE", detail))

    async def _effect(self, entry: Entry, outcome: Outcome, result: JsonValue) -> None:
        line = self.ledger.end(entry, outcome.text, now(), effect=True, result=result)
        await self._journal.commit(json.dumps(line).encode())

    async def _end(self, entry: Entry, outcome: str) -> None:
        line = self.ledger.end(entry, outcome, now(), effect=False)
        await self._journal.commit(json.dumps(line).encode())

    def _write(self, line: object) -> None:
        self._journal.append(json.dumps(line).encode())

    async def _sleep(self, seconds: float) -> bool:
        """False when the sandbox stops before the time is over."""
        if seconds <= 0:
            return True
        if self._stopping:
            return False
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _wake, sleeper)
        self._sleepers.add(sleeper)
        try:
            return await sleeper
        finally:
            timer.cancel()
            self._sleepers.discard(sleeper)


def _wake(sleeper: asyncio.Future[bool]) -> None:
    if not sleeper.done():
        sleeper.set_result(True)


async def _fail(outcome: Outcome, result: JsonValue, exchange: Exchange) -> None:
    """The outcomes that leave no effect behind."""
    match outcome.kind:
        case "fail" | "reject":
            retryable = outcome.kind == "fail"
            body = failure_body(outcome.code or "", retryable=retryable)
            await exchange.answer(200, body)
        case "status":
            problem = Problem(outcome.status, f"SCRIPTED_{outcome.status}", "as scripted")
            wait = {} if outcome.seconds is None else {"retry_after": f"{outcome.seconds:.0f}"}
            await exchange.refuse(problem, **wait)
        case "reset":
            await exchange.reset()
        case "truncate":
            await exchange.truncate(success_body(result))
        case "garbage":
            await exchange.answer(200, b"<html>not what you asked for</html>")
        case _:  # pragma: no cover - the caller hands over only the kinds above
            raise AssertionError(outcome)
