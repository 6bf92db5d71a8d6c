"""What a run may expect of itself: how long its task's last runs took."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client

from domain.attributes import EXPECT_DURATION
from domain.durations import Expectation, Expected, ExpectInput, Key
from shared.durations import learn_duration

FRESH_SECONDS = 60.0
"""For so long what was learned of a task is not learned again: a run more changes little."""
MOST_KNOWN = 10_000
"""Tasks of which it is kept."""
PAUSE_SECONDS = 0.5
"""Between two questions of one worker: where everything is late, each would make the next later."""


class DurationActivities:
    """Local activities of runs; one instance per worker.

    Who asks is late already, and so are others then. Each question is a query of Temporal's lists,
    so runs of the same task share one, and of other tasks the word counts until there may be more.
    """

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` in seconds."""
        self._client = client
        self._clock = clock
        self._known: OrderedDict[Key, tuple[float, Expected]] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[Expected | None]] = {}
        self._next = float("-inf")

    @activity.defn(name=EXPECT_DURATION)
    async def expect_duration(self, request: ExpectInput) -> Expectation:
        """Learned from runs, else the task's own word. Errors: `RPCError`."""
        learned = await self._learned((request.tenant_id, request.task_id))
        if learned is not None:
            return Expectation(p95_s=learned.p95_s)
        if request.prior is None:
            return Expectation()
        return Expectation(p95_s=request.prior / timedelta(seconds=1))

    async def _learned(self, key: Key) -> Expected | None:
        since, known = self._known.get(key, (0.0, None))
        if known and self._clock() - since < FRESH_SECONDS:
            return known
        asking = self._asking.get(key)
        if asking is None:
            if (now := self._clock()) < self._next:
                return known
            self._next = now + PAUSE_SECONDS
            asking = self._asking[key] = asyncio.create_task(self._learn(key))
            asking.add_done_callback(lambda _: self._asking.pop(key))
        return await asyncio.shield(asking)  # whoever is cancelled leaves the others their answer

    async def _learn(self, key: Key) -> Expected | None:
        found = await learn_duration(self._client, *key)
        if found:
            self._known[key] = (self._clock(), found)
            self._known.move_to_end(key)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return found
