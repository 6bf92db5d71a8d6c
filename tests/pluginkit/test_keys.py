"""One effect for each key, whatever comes when: by examples, and by what hypothesis thinks of."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from pydantic import JsonValue

from pluginkit import Call, MemoryStore, PluginError
from pluginkit.answers import Answer
from pluginkit.executions import Asked, Executions
from pluginkit.problems import Problem
from pluginkit.requests import Execution
from pluginkit.stores import Store
from tests.pluginkit.conftest import Shop
from tests.pluginkit.harness import Caller, body_of, new_key, overtaken, problem, until


async def test_what_succeeded_is_answered_again(shared: Caller, shop: Shop) -> None:
    """Also to a later attempt; a compensation is work of its own."""
    key = new_key()
    assert await shared.result(key) == {"n": 1}
    assert await shared.result(key) == {"n": 1}
    assert await shared.result(key, attempt=2, fence=2) == {"n": 1}
    undone = await shared.result(f"{key}/compensation", compensates=key)
    assert undone == {"n": 2}
    assert shop.done == [key, f"{key}/compensation"]


async def test_deliveries_at_once_wait_for_the_same_work(shared: Caller, shop: Shop) -> None:
    """Fifty of them get one result; one that was overtaken meanwhile is told so."""
    shop.gate.clear()
    key = new_key()
    early = asyncio.create_task(shared.call(key))
    await until(lambda: shop.calls)
    later = [asyncio.create_task(shared.result(key, attempt=2, fence=2)) for _ in range(50)]
    await overtaken(shared, key, 1)
    shop.gate.set()
    assert [await task for task in later] == [{"n": 1}] * 50
    assert problem(await early) == (409, "STALE_FENCE")
    assert shop.done == [key]


async def test_what_may_be_tried_again_is_done_anew(shared: Caller, shop: Shop) -> None:
    """What failed for good is answered again: the scheduler will not have it tried."""
    key = new_key()
    shop.says = _raising("BUSY", retryable=True)
    assert await shared.failure(key) == ("BUSY", True)
    shop.says = _raising("INVALID_PARAMS", retryable=False)
    assert await shared.failure(key, attempt=2, fence=2) == ("INVALID_PARAMS", False)
    shop.says = lambda call: "done"
    assert await shared.failure(key, attempt=2, fence=2) == ("INVALID_PARAMS", False)
    assert len(shop.calls) == 2


async def test_a_stale_fence_is_refused(shared: Caller, shop: Shop) -> None:
    """Before, while and after the work of a newer one is done; other keys have their own fences."""
    key = new_key()
    shop.gate.clear()
    newer = asyncio.create_task(shared.result(key, attempt=2, fence=2))
    await until(lambda: shop.calls)
    assert problem(await shared.call(key, fence=1)) == (409, "STALE_FENCE")
    shop.gate.set()
    await newer
    assert problem(await shared.call(key, fence=1)) == (409, "STALE_FENCE")
    await shared.result(fence=1)


async def test_the_fence_of_the_work_stays_that_of_its_beginning(
    shared: Caller, shop: Shop
) -> None:
    """Somebody else may have held the lock before the second attempt got it."""
    key = new_key()
    shop.gate.clear()
    shop.says = lambda call: call.fence
    first = asyncio.create_task(shared.call(key, fence=1001))
    await until(lambda: shop.calls)
    second = asyncio.create_task(shared.result(key, attempt=2, fence=2002))
    await overtaken(shared, key, 1001)
    shop.gate.set()
    assert await second == 1001
    assert (await first).status_code == 409


async def test_a_broken_action_tells_nothing_of_itself(shared: Caller, shop: Shop) -> None:
    """The scheduler learns that it may be tried again, and nobody what is in the code."""

    def breaks(call: Call) -> JsonValue:
        raise RuntimeError(f"secret of {call.key}")

    shop.says = breaks
    answer = await shared.call()
    said = answer.json()
    assert (said["error_code"], said["retryable"]) == ("PLUGIN_ERROR", True)
    assert "RuntimeError" in said["message"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_results_that_no_answer_can_carry_fail_for_good(shared: Caller, shop: Shop) -> None:
    """And the work is not done a second time for it."""
    for result, code in (
        (float("nan"), "RESULT_NOT_JSON"),
        (object(), "RESULT_NOT_JSON"),
        ("\ud800", "RESULT_NOT_JSON"),
        ("x" * 300_000, "RESULT_TOO_LARGE"),
    ):
        shop.says = _giving(result)
        key = new_key()
        for _ in range(2):
            assert await shared.failure(key) == (code, False)
    assert len(shop.calls) == 4


async def test_work_ends_at_its_deadline(shared: Caller, shop: Shop) -> None:
    """A later attempt that waits for it gives it longer; a deadline that is past begins nothing."""
    shop.gate.clear()
    soon = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    assert await shared.failure(deadline=soon) == ("DEADLINE_EXCEEDED", True)
    assert len(shop.stopped) == 1
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    assert await shared.failure(deadline=past) == ("DEADLINE_EXCEEDED", True)
    assert len(shop.calls) == 1
    key = new_key()
    soon = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    first = asyncio.create_task(shared.call(key, deadline=soon))
    await until(lambda: len(shop.calls) == 2)
    second = asyncio.create_task(shared.result(key, attempt=2, fence=2))
    await overtaken(shared, key, 1)
    await asyncio.sleep(shop.calls[1].left + 0.1)
    shop.gate.set()
    assert await second == {"n": 2}
    assert (await first).status_code == 409


async def test_never_are_two_at_work_on_one_key(shared: Caller, shop: Shop) -> None:
    """Work that is still cleaning up after its deadline is waited for."""
    shop.gate.clear()
    shop.cleaned.clear()
    key = new_key()
    soon = (datetime.now(UTC) + timedelta(seconds=0.2)).isoformat()
    first = asyncio.create_task(shared.call(key, deadline=soon))
    await until(lambda: shop.stopped)
    shop.gate.set()
    second = asyncio.create_task(shared.result(key, attempt=2, fence=2))
    await asyncio.sleep(0.2)
    assert len(shop.calls) == 1
    shop.cleaned.set()
    assert await second == {"n": 2}
    assert (await first).status_code == 409


async def test_a_cancelled_execution_ends_and_never_begins_again(
    shared: Caller, shop: Shop
) -> None:
    """Whoever waits for it hears so; told twice it says the same."""
    shop.gate.clear()
    key = new_key()
    call = asyncio.create_task(shared.failure(key))
    await until(lambda: shop.calls)
    for _ in range(2):
        assert (await shared.cancel(key)).status_code == 202
    assert await call == ("CANCELLED", False)
    assert await shared.failure(key, attempt=2, fence=2) == ("CANCELLED", False)
    assert shop.stopped == [key]
    shop.gate.set()
    assert problem(await shared.cancel(new_key())) == (404, "NO_SUCH_EXECUTION")
    await shared.result(done := new_key())
    assert problem(await shared.cancel(done)) == (409, "ALREADY_FINISHED")


async def test_what_was_done_all_the_same_counts(shared: Caller, shop: Shop) -> None:
    """Work that cannot stop any more when it is told to is told of as it is."""
    shop.gate.clear()
    shop.deaf = True
    key = new_key()
    call = asyncio.create_task(shared.result(key))
    await until(lambda: shop.calls)
    assert (await shared.cancel(key)).status_code == 202
    assert await call == {"n": 1}
    assert await shared.result(key) == {"n": 1}
    assert problem(await shared.cancel(key)) == (409, "ALREADY_FINISHED")


async def test_one_more_than_it_can_do_is_sent_away(serve: Any, shop: Shop) -> None:
    """It may come again soon; what is under way can still be asked for."""
    shop.gate.clear()
    async with serve(shop.plugin(most_at_once=1)) as caller:
        key = new_key()
        first = asyncio.create_task(caller.result(key))
        await until(lambda: shop.calls)
        again = asyncio.create_task(caller.result(key))
        answer = await caller.call()
        assert problem(answer) == (503, "BUSY")
        assert answer.headers["retry-after"] == "1"
        shop.gate.set()
        assert await first == await again


def _giving(result: Any) -> Callable[[Call], JsonValue]:
    return lambda call: result


def _raising(code: str, *, retryable: bool) -> Callable[[Call], JsonValue]:
    def says(call: Call) -> JsonValue:
        raise PluginError(code, "as the test wants it", retryable=retryable)

    return says


@dataclass
class Delivery:
    """One delivery of the machine below, and what the key had come to when it came."""

    key: str
    fence: int
    task: "asyncio.Task[Answer | None]"
    was_stale: bool  # or is, since it was overtaken while it waited
    before: Answer | None

    def outcome(self) -> Answer | str | None:
        """Its answer, or the code of its refusal; None while it waits."""
        if not self.task.done():
            return None
        error = self.task.exception()
        return error.code if isinstance(error, Problem) else self.task.result()


@dataclass
class Model:
    """What has to be true of a key."""

    fence: int = -1
    kept: Answer | None = None
    cancelled: bool = False
    at_work: int = 0
    effects: int = 0
    deliveries: list[Delivery] = field(default_factory=list)


KEYS = st.sampled_from(["a", "a", "b"])
STEPS = st.sampled_from([0, 1, -1])


class KeysMachine(RuleBasedStateMachine):
    """Deliveries, ends, cancellations and restarts in any order, for two keys."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.models = {"a": Model(), "b": Model()}
        self.store: Store = MemoryStore()
        self.ends: dict[str, asyncio.Future[str]] = {}
        self.wrong: list[str] = []

    LATER: ClassVar[str] = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    @initialize()
    def begin(self) -> None:
        """A process with an empty store."""
        self.executions = Executions(self.store, None, most=10)

    def run(self, work: Any = None) -> Any:
        """Have the loop do `work`, and all that follows at once."""

        async def settle() -> Any:
            result = await work if work is not None else None
            for _ in range(20):
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(settle())

    async def act(self, call: Call) -> JsonValue:
        """The action: it ends as a rule says, and counts who is at work."""
        model = self.models[call.key]
        model.at_work += 1
        if model.at_work > 1 or model.kept or model.cancelled:
            self.wrong.append(f"begun again: {model}")  # an assertion would be the work's failure
        self.ends[call.key] = self.loop.create_future()
        try:
            how = await self.ends[call.key]
            if how == "success":
                model.effects += 1
                return f"effect {model.effects}"
            raise PluginError(how.upper(), "said the rule", retryable=how == "again")
        finally:
            model.at_work -= 1

    @rule(key=KEYS, step=STEPS)
    def deliver(self, key: str, step: int) -> None:
        """A call comes, with the fence of the one before, a higher or a lower one."""
        model = self.models[key]
        fence = max(0, model.fence + step)
        body = body_of(key, fence=fence, attempt=fence + 1, deadline=self.LATER)
        asked = Asked("builder", Execution.model_validate(body), "", self.act, 1.0)

        async def start() -> "asyncio.Task[Answer | None]":
            return asyncio.create_task(self.executions.deliver(asked))

        stale, before = fence < model.fence, model.kept
        model.fence = max(model.fence, fence)
        for waiting in model.deliveries:
            waiting.was_stale |= waiting.outcome() is None and waiting.fence < fence
        task = self.run(start())
        model.deliveries.append(Delivery(key, fence, task, stale, before))

    @rule(key=KEYS, how=st.sampled_from(["success", "again", "final"]))
    def end(self, key: str, how: str) -> None:
        """The work that is under way ends."""
        end, model = self.ends.pop(key, None), self.models[key]
        if end is None or end.done():
            return
        end.set_result(how)
        self.run()
        newest = [d for d in model.deliveries if d.fence == model.fence]
        if newest and how != "again":
            answer = newest[-1].outcome()
            assert isinstance(answer, Answer)
            model.kept = answer

    @rule(key=KEYS)
    def cancel(self, key: str) -> None:
        """The scheduler does not want it any more."""
        model = self.models[key]
        refusal = self.run(_refusal(self.executions.cancel("builder", key)))
        if model.fence < 0:
            assert refusal == "NO_SUCH_EXECUTION"
        elif model.kept:
            assert refusal == "ALREADY_FINISHED"
        else:
            assert refusal is None
            model.cancelled = True
            self.ends.pop(key, None)

    @rule()
    def restart(self) -> None:
        """The process is lost: what was under way is gone, what was remembered is not."""
        for model in self.models.values():
            for delivery in model.deliveries:
                delivery.task.cancel()
            model.deliveries = [d for d in model.deliveries if d.outcome() is not None]
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.run()
        self.ends.clear()
        for model in self.models.values():
            model.at_work = 0
            model.deliveries = []
        self.executions = Executions(self.store, None, most=10)

    @invariant()
    def every_answer_is_right(self) -> None:
        """Stale ones are refused, and what stands is what everybody hears."""
        assert not self.wrong
        for model in self.models.values():
            assert model.effects <= 1
            assert not (model.cancelled and model.at_work), "it was not stopped"
            for delivery in model.deliveries:
                outcome = delivery.outcome()
                if outcome is None:
                    assert model.at_work == 1, "it waits for nothing"
                elif delivery.was_stale:
                    assert outcome == "STALE_FENCE"
                elif delivery.before is not None and not model.cancelled:
                    assert outcome == delivery.before
                elif isinstance(outcome, Answer) and outcome.status == "SUCCESS":
                    assert outcome.result == "effect 1"

    def teardown(self) -> None:
        """Nothing is left in the loop."""
        self.restart()
        self.loop.close()


async def _refusal(work: Awaitable[None]) -> str | None:
    try:
        await work
    except Problem as refusal:
        return refusal.code
    return None


TestKeysMachine = KeysMachine.TestCase
TestKeysMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
