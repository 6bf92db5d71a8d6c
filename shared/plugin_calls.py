"""What one process knows of a plugin's circuit, and has not told its breaker yet."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from domain.breaker import LEASE_S, WINDOW_S
from domain.outcomes import (
    BreakerAnswer,
    BreakerExchange,
    CircuitBrief,
    CircuitState,
    Outcome,
    ProbeEnd,
)

ALARM_SECONDS = 1.0
"""For how long failures are gathered before they are told."""
CALM_SECONDS = 5.0
"""The same when most calls go well, and for successes that a breaker wants to know of."""
SLOT_SECONDS = 5
"""Calls that ended within the same so many seconds are counted together."""
MOST_OUTCOMES = 500
"""Of one batch: an update's payload stays below 100 kB."""
MOST_CODES = 3


@dataclass(slots=True)
class Count:
    """Calls of one tenant in one slot of time."""

    successes: int = 0
    failures: int = 0
    codes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """What is told once: sent again, it has the same number."""

    sequence: int
    counts: dict[tuple[int, str], Count]
    ended: list[ProbeEnd]


@dataclass(slots=True)
class Ask:
    """The one question under way: which attempt, its task, and who waits for the answer."""

    key: str
    task: asyncio.Task[Any] | None
    answer: asyncio.Future[BreakerAnswer | None]


@dataclass(slots=True)
class PluginCalls:
    """What this process knows of a plugin, and has not told yet."""

    circuit: CircuitBrief | None = None
    learned_at: float = 0.0
    counts: dict[tuple[int, str], Count] = field(default_factory=dict)
    slot: int = 0
    ended: list[ProbeEnd] = field(default_factory=list)
    probes: dict[str, asyncio.Task[Any] | None] = field(default_factory=dict)
    ask: Ask | None = None
    batch: Batch | None = None
    sequence: int = 0
    failed_at: float | None = None
    told_at: float = 0.0
    silent_until: float = 0.0
    sender: asyncio.Task[None] | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def is_closed(self) -> bool:
        """Whether calls go, as far as is known."""
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
        count = self.counts.setdefault((slot, tenant_id), Count())
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

    def next_batch(self, now: float) -> Batch:
        """The one that was not answered, else all that there is, failures first."""
        self.forget(now)
        if self.batch is None:
            order = sorted(self.counts, key=lambda key: (-self.counts[key].failures, -key[0]))
            counts = {key: self.counts.pop(key) for key in order[:MOST_OUTCOMES]}
            if not any(count.failures for count in self.counts.values()):
                self.failed_at = None
            self.sequence += 1
            self.batch = Batch(self.sequence, counts, self.ended)
            self.ended = []
        return self.batch

    def exchange(self, worker: str, batch: Batch, now: float) -> BreakerExchange:
        """What goes to the breaker, with the question if there is one."""
        return BreakerExchange(
            worker=worker,
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
            holds=list(self.probes),
            asks=self.ask.key if self.ask else None,
        )

    def adopt(self, circuit: CircuitBrief, now: float, *, listed: bool = False) -> bool:
        """Know this from now on, unless something newer is known; whether that is so."""
        known = self.circuit
        if known and circuit.changed_at < known.changed_at:
            return False
        if listed and known and circuit.changed_at == known.changed_at:
            # What a list has may be older in all but the state.
            later = max(known.counting_until, circuit.counting_until)
            circuit = known.model_copy(update={"counting_until": later})
        self.circuit, self.learned_at = circuit, now
        return True

    def probe_of(self, task: asyncio.Task[Any] | None, *, said: bool) -> str | None:
        """The probe that a call was: that of its task, or the last if it is said to be one."""
        own = next((key for key, probe in self.probes.items() if probe is task), None)
        return own or (next(reversed(self.probes), None) if said else None)

    def answer(self, answer: BreakerAnswer | None) -> None:
        """To whoever asked."""
        if self.ask and not self.ask.answer.done():
            self.ask.answer.set_result(answer)
        self.ask = None
