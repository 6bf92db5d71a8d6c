"""Whether plugins are fit to be called: what one process knows, tells and asks.

Calls that go well cost nothing: they are counted here and forgotten. Failures go to the plugin's
breaker in batches, one batch under way at a time, and its answer is what this process then knows.
What other processes met is found in one look at the list of breakers, every few seconds of use.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import structlog
from temporalio.client import Client

from domain.outcomes import (
    BreakerAnswer,
    CircuitBrief,
    CircuitState,
    ProbeEnd,
    is_failure,
)
from shared.breaker_calls import all_briefs, exchange_with
from shared.metrics import BreakerMetrics
from shared.plugin_calls import ALARM_SECONDS, Ask, PluginCalls

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks at the list of breakers, while plugins are called."""
SILENCE_SECONDS = 5.0
"""For how long nothing is asked of a Temporal that did not answer."""
STALE_SECONDS = 15.0
"""A circuit that the list of breakers does not have any more is closed; the list may lag."""


@dataclass(frozen=True, slots=True)
class Wait:
    """An attempt that does not go now: when to come again, since when this is so, and why."""

    retry_at: datetime
    since: datetime
    reason: str


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
        self._queue = task_queue
        self._metrics = metrics
        self._patience = patience
        self._worker = str(uuid4())
        self._plugins: dict[str, PluginCalls] = {}
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

    def is_open(self, plugin_id: str) -> bool:
        """Whether attempts wait, as far as this process knows by now."""
        plugin = self._plugins.get(plugin_id)
        return plugin is not None and not plugin.is_closed()

    def record(
        self, plugin_id: str, tenant_id: str, error_code: str | None, probe: bool = False
    ) -> None:
        """A call has ended; `error_code` is None when it went well.

        A probe is also known by its task. Sends nothing by itself and never fails.
        """
        now = time.time()
        self._look_if_due(now)
        plugin = self._plugins.setdefault(plugin_id, PluginCalls())
        failure = error_code if error_code and is_failure(error_code) else None
        if (key := plugin.probe_of(asyncio.current_task(), said=probe)) is not None:
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

    async def _ask(self, plugin_id: str, plugin: PluginCalls, name: str) -> BreakerAnswer | None:
        """One question at a time: who comes meanwhile hears the same answer, without the grant."""
        mine = plugin.ask is None
        if plugin.ask is None:
            answer: asyncio.Future[BreakerAnswer | None] = (
                asyncio.get_running_loop().create_future()
            )
            plugin.ask = Ask(name, asyncio.current_task(), answer)
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

    def _start(self, plugin_id: str, plugin: PluginCalls) -> None:
        """Have somebody tell the breaker, if there is something to tell."""
        if plugin.sender is not None:
            if plugin.ask or plugin.ended:
                plugin.news.set()
        elif not self._closed and plugin.due_at(time.time()) is not None:
            plugin.sender = asyncio.create_task(self._send_all(plugin_id, plugin))

    async def _send_all(self, plugin_id: str, plugin: PluginCalls) -> None:
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
            plugin.answer(None)

    async def _tell(self, plugin_id: str, plugin: PluginCalls) -> None:
        """One exchange with the breaker, and what it leads to."""
        now = time.time()
        batch, ask = plugin.next_batch(now), plugin.ask
        plugin.told_at = now
        try:
            answer = await exchange_with(
                self._client,
                self._queue,
                plugin_id,
                plugin.exchange(self._worker, batch, now),
                self._patience,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, calls go on
            self._nobody_answers(plugin, error)
            return
        self._answering = True
        plugin.batch, plugin.silent_until = None, 0.0
        if answer is None:  # no breaker: then all is well
            plugin.circuit, plugin.probes = None, {}
        else:
            self._adopt(plugin, answer.circuit, now)
            if answer.opened:
                self._opened(answer.circuit)
            if answer.granted and ask and plugin.ask is ask:
                self._grant(plugin_id, plugin, ask)
        if plugin.ask is ask:  # another may have asked meanwhile: that goes with the next
            plugin.answer(answer)

    def _grant(self, plugin_id: str, plugin: PluginCalls, ask: Ask) -> None:
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

    def _nobody_answers(self, plugin: PluginCalls, error: Exception) -> None:
        plugin.silent_until = time.time() + SILENCE_SECONDS
        if plugin.ask:  # its attempt goes; should it have been granted, it is no probe
            plugin.ended.append(ProbeEnd(key=plugin.ask.key, ok=None))
        plugin.answer(None)
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

    def _adopt(
        self, plugin: PluginCalls, circuit: CircuitBrief, now: float, *, listed: bool = False
    ) -> None:
        if plugin.adopt(circuit, now, listed=listed) and self._metrics:
            self._metrics.state(circuit.plugin_id, circuit.state)

    def _look_if_due(self, now: float) -> None:
        if now < self._looked_at + LOOK_SECONDS or self._looking or self._closed:
            return
        self._looked_at = now
        self._looking = asyncio.create_task(self._look(now))

    async def _look(self, now: float) -> None:
        """Learn what other processes met."""
        try:
            found = await all_briefs(self._client, patience=self._patience)
        except Exception as error:  # noqa: BLE001 - as above
            log.debug("breakers", action="breakers_not_listed", reason=str(error))
            return
        finally:
            self._looking = None
        for circuit in found:
            plugin = self._plugins.setdefault(circuit.plugin_id, PluginCalls())
            self._adopt(plugin, circuit, now, listed=True)
            self._start(circuit.plugin_id, plugin)
        listed = {circuit.plugin_id for circuit in found}
        for plugin_id, plugin in self._plugins.items():
            gone = plugin_id not in listed and plugin.learned_at < now - STALE_SECONDS
            if gone and not plugin.is_closed():
                plugin.circuit = None
