"""Whether plugins are fit to be called: what one process knows, tells and asks.

Calls that go well cost nothing: they are counted here and forgotten. Failures go to the plugin's
breaker in batches, one batch under way at a time, and its answer is what this process then knows.
What other processes met is found in one look at the list of breakers, every few seconds of use.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import structlog
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from domain.attributes import BREAKER
from domain.breaker import LEASE_S, WINDOW_S
from domain.ids import breaker_id
from domain.outcomes import (
    BRIEF_MEMO,
    BreakerAnswer,
    BreakerExchange,
    BreakerStart,
    CircuitBrief,
    CircuitState,
    Outcome,
    ProbeEnd,
    is_failure,
)
from shared.calls import is_missing
from shared.metrics import BreakerMetrics

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks at the list of breakers, while plugins are called."""
ALARM_SECONDS = 1.0
"""For how long failures are gathered before they are told."""
CALM_SECONDS = 5.0
"""The same when most calls go well, and for successes that a breaker wants to know of."""
SILENCE_SECONDS = 5.0
"""For how long nothing is asked of a Temporal that did not answer."""
STALE_SECONDS = 15.0
"""A circuit that the list of breakers does not have any more is closed; the list may lag."""
RETRY_SECONDS = 0.2
SLOT_SECONDS = 5
"""Calls that ended within the same so many seconds are counted together."""
MOST_OUTCOMES = 500
"""Of one batch: an update's payload stays below 100 kB."""
MOST_CODES = 3


@dataclass(frozen=True, slots=True)
class Wait:
    """An attempt that does not go now: when to come again, since when this is so, and why."""

    retry_at: datetime
    since: datetime
    reason: str


def breaker_queue(task_queue: str) -> str:
    """The task queue of breakers, with what else recovers from failures."""
    return f"{task_queue}-recovery"


def summary_of(plugin_id: str) -> str:
    """One line for Temporal's lists."""
    return f"circuit breaker of {plugin_id}"


@dataclass(slots=True)
class _Count:
    """Calls of one tenant in one slot of time."""

    successes: int = 0
    failures: int = 0
    codes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    """What is told once: sent again, it has the same number."""

    sequence: int
    counts: dict[tuple[int, str], _Count]
    ended: list[ProbeEnd]


@dataclass(slots=True)
class _Ask:
    """The one question under way: which attempt, its task, and who waits for the answer."""

    key: str
    task: asyncio.Task[Any] | None
    answer: asyncio.Future[BreakerAnswer | None]


@dataclass(slots=True)
class _Plugin:
    """What this process knows of a plugin, and has not told yet."""

    circuit: CircuitBrief | None = None
    learned_at: float = 0.0
    counts: dict[tuple[int, str], _Count] = field(default_factory=dict)
    slot: int = 0
    ended: list[ProbeEnd] = field(default_factory=list)
    probes: dict[str, asyncio.Task[Any] | None] = field(default_factory=dict)
    ask: _Ask | None = None
    batch: _Batch | None = None
    sequence: int = 0
    failed_at: float | None = None
    told_at: float = 0.0
    silent_until: float = 0.0
    sender: asyncio.Task[None] | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def is_closed(self) -> bool:
        return self.circuit is None or self.circuit.state is CircuitState.CLOSED

    def due_at(self, now: float) -> float | None:
        """When to tell the breaker something; None when there is nothing to tell."""
        due: list[float] = []
        if self.ask or self.ended or (self.batch and self.batch.ended):
            due.append(now)
        if self.probes:
            due.append(self.told_at + LEASE_S / 3)
        if self.failed_at is not None:
            due.append(self.failed_at + self._patience())
        elif self.batch:
            due.append(now)
        if self.circuit and now < self.circuit.counting_until and self.counts:
            due.append(self.told_at + CALM_SECONDS)
        return max(min(due), self.silent_until) if due else None

    def _patience(self) -> float:
        """Failures among many successes are no alarm."""
        failures = sum(count.failures for count in self.counts.values())
        successes = sum(count.successes for count in self.counts.values())
        return ALARM_SECONDS if self.is_closed() and failures >= successes else CALM_SECONDS

    def note(self, tenant_id: str, error_code: str | None, now: float) -> None:
        """Count a call that ended."""
        slot = int(now // SLOT_SECONDS)
        if slot != self.slot:
            self.slot = slot
            self.forget(now)
        count = self.counts.setdefault((slot, tenant_id), _Count())
        if error_code is None:
            count.successes += 1
            return
        count.failures += 1
        if self.failed_at is None:
            self.failed_at = now
        if error_code not in count.codes and len(count.codes) < MOST_CODES:
            count.codes.append(error_code)

    def forget(self, now: float) -> None:
        """What would not count any more."""
        oldest = (now - WINDOW_S) // SLOT_SECONDS
        self.counts = {key: count for key, count in self.counts.items() if key[0] > oldest}
        if not any(count.failures for count in self.counts.values()):
            self.failed_at = None

    def next_batch(self, now: float) -> _Batch:
        """The one that was not answered, else all that there is, failures first."""
        self.forget(now)
        if self.batch is None:
            order = sorted(self.counts, key=lambda key: (-self.counts[key].failures, -key[0]))
            counts = {key: self.counts.pop(key) for key in order[:MOST_OUTCOMES]}
            if not any(count.failures for count in self.counts.values()):
                self.failed_at = None
            self.sequence += 1
            self.batch = _Batch(self.sequence, counts, self.ended)
            self.ended = []
        return self.batch


class Breakers:
    """The breakers of all plugins; one instance for a process, used from one event loop."""

    def __init__(
        self,
        client: Client,
        task_queue: str,
        *,
        metrics: BreakerMetrics | None = None,
        patience: float = 3.0,
    ) -> None:
        """`patience` in seconds, for an answer."""
        self._client = client
        self._queue = breaker_queue(task_queue)
        self._metrics = metrics
        self._patience = patience
        self._worker = str(uuid4())
        self._plugins: dict[str, _Plugin] = {}
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._answering = True
        self._closed = False

    async def admit(self, plugin_id: str, key: str, attempt: int) -> Wait | None:
        """None when this attempt may call the plugin now, else when to come again.

        `key` and `attempt` name the attempt. Call it in the task that then calls the plugin: when
        that task ends and nothing was recorded, a probe that it was is given back. Where nobody
        can answer, the attempt goes.
        """
        now = time.time()
        self._look_if_due(now)
        plugin = self._plugins.get(plugin_id)
        if plugin is None or plugin.circuit is None or plugin.is_closed():
            return None
        name = f"{key}#{attempt}"
        retry_at = plugin.circuit.retry_at or 0.0
        if now < retry_at:
            return self._waits(plugin.circuit, name, now)
        if now < plugin.silent_until or self._closed:
            return None
        answer = await self._ask(plugin_id, plugin, name)
        if answer is None or answer.circuit.state is CircuitState.CLOSED or name in plugin.probes:
            return None
        return self._waits(answer.circuit, name, time.time())

    def is_probe(self, plugin_id: str, key: str, attempt: int) -> bool:
        """Whether this attempt goes to see how the plugin is."""
        plugin = self._plugins.get(plugin_id)
        return plugin is not None and f"{key}#{attempt}" in plugin.probes

    def record(
        self, plugin_id: str, tenant_id: str, error_code: str | None, probe: bool = False
    ) -> None:
        """A call has ended; `error_code` is None when it went well.

        A probe is also known by its task. Sends nothing by itself and never fails.
        """
        now = time.time()
        self._look_if_due(now)
        plugin = self._plugins.setdefault(plugin_id, _Plugin())
        failure = error_code if error_code and is_failure(error_code) else None
        if (key := _probe_of(plugin, said=probe)) is not None:
            del plugin.probes[key]
            plugin.ended.append(ProbeEnd(key=key, ok=failure is None))
        elif failure is not None or plugin.is_closed():
            plugin.note(tenant_id, failure, now)
        self._start(plugin_id, plugin)

    async def close(self) -> None:
        """Tell what is still to be told, once, and stop."""
        self._closed = True
        running = [plugin.sender for plugin in self._plugins.values() if plugin.sender]
        if self._looking:
            running.append(self._looking)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        now = time.time()
        last = []
        for plugin_id, plugin in self._plugins.items():
            plugin.ended += [ProbeEnd(key=key, ok=None) for key in plugin.probes]
            plugin.probes = {}
            if plugin.due_at(now) is not None and now >= plugin.silent_until:
                last.append(self._tell(plugin_id, plugin))
        await asyncio.gather(*last)

    async def _ask(self, plugin_id: str, plugin: _Plugin, name: str) -> BreakerAnswer | None:
        """One question at a time: who comes meanwhile hears the same answer, without the grant."""
        mine = plugin.ask is None
        if plugin.ask is None:
            answer: asyncio.Future[BreakerAnswer | None] = (
                asyncio.get_running_loop().create_future()
            )
            plugin.ask = _Ask(name, asyncio.current_task(), answer)
            self._start(plugin_id, plugin)
        try:
            return await asyncio.shield(plugin.ask.answer)
        except asyncio.CancelledError:
            if mine:  # it may have been granted, and nobody would go
                plugin.probes.pop(name, None)
                plugin.ended.append(ProbeEnd(key=name, ok=None))
                self._start(plugin_id, plugin)
            raise

    def _waits(self, circuit: CircuitBrief, name: str, now: float) -> Wait:
        if self._metrics:
            self._metrics.waited(circuit.plugin_id)
        retry_at = max(circuit.retry_at or now, now)
        # All that wait for one moment would come at that moment.
        span = max(1.0, (retry_at - now) / 10)
        retry_at += span * int.from_bytes(blake2b(name.encode(), digest_size=4).digest()) / 2**32
        probing = circuit.state is CircuitState.HALF_OPEN
        then = "one call tries it now" if probing else "one call will try it then"
        return Wait(
            retry_at=datetime.fromtimestamp(retry_at, UTC),
            since=datetime.fromtimestamp(circuit.since, UTC),
            reason=f"the plugin {circuit.plugin_id} fails: {circuit.reason}; {then}",
        )

    def _start(self, plugin_id: str, plugin: _Plugin) -> None:
        """Have somebody tell the breaker, if there is something to tell."""
        if plugin.sender is not None:
            if plugin.ask or plugin.ended:
                plugin.news.set()
        elif not self._closed and plugin.due_at(time.time()) is not None:
            plugin.sender = asyncio.create_task(self._send_all(plugin_id, plugin))

    async def _send_all(self, plugin_id: str, plugin: _Plugin) -> None:
        try:
            while (due := plugin.due_at(now := time.time())) is not None:
                if due <= now:
                    await self._tell(plugin_id, plugin)
                    continue
                plugin.news.clear()
                try:
                    # Calls go on being counted: what was calm may be an alarm by now.
                    async with asyncio.timeout(min(due - now, ALARM_SECONDS)):
                        await plugin.news.wait()
                except TimeoutError:
                    pass
        finally:
            plugin.sender = None
            _answer(plugin, None)

    async def _tell(self, plugin_id: str, plugin: _Plugin) -> None:
        """One exchange with the breaker, and what it leads to."""
        now = time.time()
        batch, ask = plugin.next_batch(now), plugin.ask
        exchange = BreakerExchange(
            worker=self._worker,
            sequence=batch.sequence,
            outcomes=[
                Outcome(
                    tenant_id=tenant_id,
                    successes=count.successes,
                    failures=count.failures,
                    codes=count.codes,
                    ago_s=max(0.0, now - (slot + 1) * SLOT_SECONDS),
                )
                for (slot, tenant_id), count in batch.counts.items()
            ],
            ended=batch.ended,
            holds=list(plugin.probes),
            asks=ask.key if ask else None,
        )
        plugin.told_at = now
        try:
            answer = await self._exchange(plugin_id, exchange)
        except (TimeoutError, RPCError, WorkflowUpdateFailedError) as error:
            self._nobody_answers(plugin, error)
            return
        self._answering = True
        plugin.batch, plugin.silent_until = None, 0.0
        if answer is None:  # no breaker: then all is well
            self._adopt(
                plugin,
                CircuitBrief(
                    plugin_id=plugin_id, state=CircuitState.CLOSED, since=now, changed_at=now
                ),
            )
            plugin.probes = {}
        else:
            self._adopt(plugin, answer.circuit)
            if answer.opened:
                self._opened(answer.circuit)
            if answer.granted and ask and plugin.ask is ask:
                self._grant(plugin_id, plugin, ask)
        _answer(plugin, answer)

    def _grant(self, plugin_id: str, plugin: _Plugin, ask: _Ask) -> None:
        """The probe goes; its lease is renewed until it is over, or its task is."""
        if any(ended.key == ask.key for ended in plugin.ended):  # cancelled meanwhile
            return
        plugin.probes[ask.key] = ask.task

        def over(_task: asyncio.Task[Any]) -> None:
            if ask.key in plugin.probes:
                del plugin.probes[ask.key]
                plugin.ended.append(ProbeEnd(key=ask.key, ok=None))
                self._start(plugin_id, plugin)

        if ask.task:
            ask.task.add_done_callback(over)

    def _nobody_answers(self, plugin: _Plugin, error: Exception) -> None:
        plugin.silent_until = time.time() + SILENCE_SECONDS
        if plugin.ask:  # its attempt goes; should it have been granted, it is no probe
            plugin.ended.append(ProbeEnd(key=plugin.ask.key, ok=None))
        _answer(plugin, None)
        if self._answering:
            self._answering = False
            reason = str(error) or type(error).__name__
            log.warning("breakers do not answer", action="breakers_unavailable", reason=reason)

    def _opened(self, circuit: CircuitBrief) -> None:
        log.warning(
            "circuit opened",
            action="circuit_opened",
            plugin_id=circuit.plugin_id,
            reason=circuit.reason,
        )
        if self._metrics:
            self._metrics.opened(circuit.plugin_id)

    def _adopt(self, plugin: _Plugin, circuit: CircuitBrief, *, listed: bool = False) -> None:
        """Know this from now on, unless something newer is known."""
        known = plugin.circuit
        if known and circuit.changed_at < known.changed_at:
            return
        if listed and known and circuit.changed_at == known.changed_at:
            # What a list has may be older in all but the state.
            later = max(known.counting_until, circuit.counting_until)
            circuit = known.model_copy(update={"counting_until": later})
        plugin.circuit = circuit
        plugin.learned_at = time.time()
        if self._metrics:
            self._metrics.state(circuit.plugin_id, circuit.state)

    async def _exchange(self, plugin_id: str, exchange: BreakerExchange) -> BreakerAnswer | None:
        """One update, again while there is patience; None when there is no breaker and need be
        none. Errors: `TimeoutError`, `RPCError`.
        """
        async with asyncio.timeout(self._patience):
            while True:
                try:
                    return await self._update(plugin_id, exchange)
                except WorkflowUpdateRPCTimeoutOrCancelledError as error:
                    raise TimeoutError(f"the breaker of {plugin_id} did not answer") from error
                except (RPCError, WorkflowUpdateFailedError) as error:
                    # It has just gone on as a new run, or the server is busy.
                    log.debug("breaker", action="breaker_retry", reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _update(self, plugin_id: str, exchange: BreakerExchange) -> BreakerAnswer | None:
        limit = timedelta(seconds=self._patience)
        handle = self._client.get_workflow_handle(breaker_id(plugin_id))
        try:
            told: BreakerAnswer = await handle.execute_update(
                "exchange", exchange, result_type=BreakerAnswer, rpc_timeout=limit
            )
        except RPCError as error:
            if not is_missing(error):
                raise
        else:
            return told
        if not any(outcome.failures for outcome in exchange.outcomes):
            return None
        start: WithStartWorkflowOperation[Any, None] = WithStartWorkflowOperation(
            BREAKER,
            BreakerStart(plugin_id=plugin_id),
            id=breaker_id(plugin_id),
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=summary_of(plugin_id),
        )
        told = await self._client.execute_update_with_start_workflow(
            "exchange",
            exchange,
            start_workflow_operation=start,
            result_type=BreakerAnswer,
            rpc_timeout=limit,
        )
        return told  # noqa: RET504 - the SDK does not type a result that is named by string

    def _look_if_due(self, now: float) -> None:
        if now < self._looked_at + LOOK_SECONDS or self._looking or self._closed:
            return
        self._looked_at = now
        self._looking = asyncio.create_task(self._look(now))

    async def _look(self, now: float) -> None:
        """Learn what other processes met."""
        try:
            found = await open_briefs(self._client, patience=self._patience)
        except (TimeoutError, RPCError) as error:
            log.debug("breakers", action="breakers_not_listed", reason=str(error))
            return
        finally:
            self._looking = None
        for circuit in found:
            plugin = self._plugins.setdefault(circuit.plugin_id, _Plugin())
            self._adopt(plugin, circuit, listed=True)
            self._start(circuit.plugin_id, plugin)
        listed = {circuit.plugin_id for circuit in found}
        for plugin_id, plugin in self._plugins.items():
            gone = plugin_id not in listed and plugin.learned_at < now - STALE_SECONDS
            if gone and not plugin.is_closed():
                plugin.circuit = None


async def open_briefs(client: Client, *, patience: float = 5.0) -> list[CircuitBrief]:
    """The circuits of all breakers that run, as Temporal's list has them, which lags a little.

    Errors: `TimeoutError`, `RPCError`.
    """
    query = f"WorkflowType = '{BREAKER}' AND ExecutionStatus = 'Running'"
    found: list[CircuitBrief] = []
    async with asyncio.timeout(patience):
        async for breaker in client.list_workflows(query, page_size=1000):
            brief: CircuitBrief | None = await breaker.memo_value(
                BRIEF_MEMO, None, type_hint=CircuitBrief
            )
            if brief:
                found.append(brief)
    return found


def _probe_of(plugin: _Plugin, *, said: bool) -> str | None:
    """The probe that a call was: that of its task, or if it says that it was one, the last."""
    if not plugin.probes:
        return None
    task = asyncio.current_task()
    own = next((key for key, probe in plugin.probes.items() if probe is task), None)
    return own or (list(plugin.probes)[-1] if said else None)


def _answer(plugin: _Plugin, answer: BreakerAnswer | None) -> None:
    """To whoever asked."""
    if plugin.ask:
        if not plugin.ask.answer.done():
            plugin.ask.answer.set_result(answer)
        plugin.ask = None
