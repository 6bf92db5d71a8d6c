"""How many runs of a rule were started in the last minute: `max_events_per_minute`.

Exact for what this process starts. What other processes start is counted by Temporal, for the whole
task: its list lags a little and is asked once a second at most, so that several processes together
may start a few too many. Of a task with several event rules it is not known by which rule others
started its runs: they count for each.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from temporalio.client import Client

from domain.attributes import TASK_RUN
from domain.rules import Rule
from domain.run import TriggerKind
from domain.task import EventTrigger, Task

WINDOW = 60.0
"""Seconds: in none that long are more runs started than the rule allows."""
LAG = timedelta(seconds=2)
"""By which Temporal's time of a start may be later than ours: what is ours must not count twice."""
COUNTED_FOR = 1.0
MOST_TASKS = 1000
"""Tasks that are remembered although no event of theirs came lately."""

Starts = dict[str, float]
"""When which run was started, oldest first."""


@dataclass(slots=True)
class _Known:
    """Of one task: what this process started in the last minute, by rule, and what others did."""

    by_rule: defaultdict[int, Starts] = field(default_factory=lambda: defaultdict(dict))
    deciding: asyncio.Lock = field(default_factory=asyncio.Lock)
    counted_at: float = -math.inf
    others: int = 0

    def forget(self, before: float) -> None:
        """Starts that are older."""
        for starts in self.by_rule.values():
            while starts and starts[first := next(iter(starts))] <= before:
                del starts[first]


class Rates:
    """Of one process, used from one event loop; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tasks: dict[tuple[str, str], _Known] = {}

    async def take(self, client: Client, rule: Rule, run_id: str) -> int | None:
        """None when the run may start, which is counted; else the seconds to wait.

        Errors: `RPCError`.
        """
        most = rule.trigger.max_events_per_minute
        if not _is_limited(rule.task):
            return None
        known = self._known(rule)
        async with known.deciding:
            if most is not None:
                if len(known.by_rule[rule.index]) < most:
                    await self._count(client, known, rule)
                if wait := self._wait(known, rule.index, most):
                    return wait
            known.by_rule[rule.index][run_id] = self._clock()
            return None

    def give_back(self, rule: Rule, run_id: str) -> None:
        """The run was there before, or could not be started."""
        if _is_limited(rule.task):
            self._known(rule).by_rule[rule.index].pop(run_id, None)

    def _wait(self, known: _Known, index: int, most: int) -> int | None:
        now = self._clock()
        known.forget(now - WINDOW)
        own = known.by_rule[index]
        over = len(own) + known.others - most
        if over < 0:
            return None
        waits = [WINDOW / most] if known.others else []  # when those were started is not known
        if over < len(own):
            waits.append(next(islice(own.values(), over, None)) + WINDOW - now)
        return max(1, math.ceil(min(waits)))

    async def _count(self, client: Client, known: _Known, rule: Rule) -> None:
        """How many of the task's runs are of other processes."""
        if self._clock() < known.counted_at + COUNTED_FOR:
            return
        since = datetime.now(UTC) - timedelta(seconds=WINDOW) + LAG
        found = await client.count_workflows(
            f"WorkflowType = '{TASK_RUN}' AND TenantId = '{rule.task.tenant_id}' "
            f"AND TaskId = '{rule.task.task_id}' AND TriggerKind = '{TriggerKind.EVENT}' "
            f"AND StartTime >= '{since.isoformat()}'"
        )
        known.counted_at = self._clock()
        known.forget(known.counted_at - WINDOW)
        known.others = max(0, found.count - sum(map(len, known.by_rule.values())))

    def _known(self, rule: Rule) -> _Known:
        key = rule.task.tenant_id, rule.task.task_id
        if key not in self._tasks:
            if len(self._tasks) >= MOST_TASKS:
                self._forget()
            self._tasks[key] = _Known()
        known = self._tasks[key]
        known.forget(self._clock() - WINDOW)
        return known

    def _forget(self) -> None:
        """Tasks of which there is nothing to remember."""
        for key, known in list(self._tasks.items()):
            known.forget(self._clock() - WINDOW)
            if not any(known.by_rule.values()) and not known.deciding.locked():
                del self._tasks[key]


def _is_limited(task: Task) -> bool:
    """Whether any of its rules is: then all starts count, to tell them from those of others."""
    return any(
        isinstance(trigger, EventTrigger) and trigger.max_events_per_minute is not None
        for trigger in task.triggers
    )
