"""What the sandbox knows of every idempotency key: deliveries, fences and effects. No I/O.

The rules live here. One effect per key, whatever happens: whoever comes later, or comes at the
same time, gets the first effect again. A delivery is stale when a higher fence was seen for its
key; it is asked again right before the effect, since a newer holder may have come meanwhile.
A cancelled key never has an effect.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import JsonValue

from pluginkit.keys import is_stale
from pluginkit.requests import Execution
from sandbox.breaches import Notifications
from sandbox.events import Sink
from sandbox.lines import (
    CANCELLED,
    UNKNOWN,
    Asked,
    CancelLine,
    DeliveryLine,
    EffectLine,
    ResetLine,
    Sent,
    UnwantedLine,
)
from sandbox.reservations import Reservations

ACCEPT_LATER = "accept-later"


@dataclass(slots=True)
class KeyMemory:
    """What is known of one idempotency key: its deliveries by arrival, and what they came to.

    `effect` is None until it had its effect.
    """

    entries: list["Entry"] = field(default_factory=list, repr=False)
    fence: int = 0
    effect: int | None = None
    result: JsonValue = None
    cancelled: bool = False


@dataclass(slots=True)
class Entry:
    """One delivery. `ended_at`, `outcome` and `effect` are None while it is under way.

    `execution` is the body of its call; None when the delivery is known from the log.
    """

    sent: Sent
    started_at: str
    memory: KeyMemory
    ended_at: str | None = None
    outcome: str | None = None
    effect: int | None = None
    asked: Asked = field(default_factory=UNKNOWN.copy)
    execution: Execution | None = field(default=None, repr=False)

    @property
    def stale(self) -> bool:
        """A delivery of the same key with a higher fence was seen."""
        return is_stale(self.sent["fence"], self.memory.fence)

    def line(self, event: Literal["start", "end"], at: str) -> DeliveryLine:
        """The log line of this delivery as it stands."""
        return {
            "event": event,
            **self.sent,  # type: ignore[typeddict-item]  # more might hide in it, for mypy
            "at": at,
            "outcome": self.outcome,
            "effect": self.effect,
        }

    def view(self) -> dict[str, Any]:
        """The delivery as `GET /control/deliveries` shows it."""
        return {
            **self.sent,
            **self.asked,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "outcome": self.outcome,
            "effect": self.effect,
            "cancelled": self.memory.cancelled,
        }


@dataclass(slots=True)
class Ledger:
    """All that came since the last reset. Effect numbers grow for ever, from 1."""

    effects: int = 0
    keys: dict[str, KeyMemory] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    cancellations: list[CancelLine] = field(default_factory=list)
    reservations: Reservations = field(default_factory=Reservations)
    notifications: Notifications = field(default_factory=Notifications)
    sinks: dict[str, Sink] = field(default_factory=dict)

    def memory(self, key: str) -> KeyMemory:
        """What is known of the key, empty when it is new."""
        return self.keys.setdefault(key, KeyMemory())

    def sink(self, name: str) -> Sink:
        """What is known of a sink, empty when nothing came."""
        return self.sinks.setdefault(name, Sink())

    def arrive(self, entry: Entry) -> DeliveryLine:
        """Number a new delivery and remember its fence; returns its log line."""
        entry.memory.entries.append(entry)
        entry.sent["delivery"] = len(entry.memory.entries)
        entry.memory.fence = max(entry.memory.fence, entry.sent["fence"])
        self.entries.append(entry)
        return {**entry.line("start", entry.started_at), "asked": entry.asked}

    def end(
        self, entry: Entry, outcome: str, at: str, *, effect: bool, result: JsonValue = None
    ) -> DeliveryLine:
        """Close a delivery; returns its log line.

        With `effect` the delivery stands for the effect of its key, made now if there was none.
        `result` is kept with an effect made now, and not looked at otherwise.
        """
        memory = entry.memory
        first = effect and memory.effect is None
        if first:
            self.effects += 1
            memory.effect = self.effects
            memory.result = result
        entry.outcome = outcome
        entry.ended_at = at
        entry.effect = memory.effect if effect else None
        line = entry.line("end", at)
        if first and result is not None:
            line["result"] = result
        return line

    def effect_later(self, key: str, at: str, result: JsonValue) -> EffectLine:
        """The effect of a key that has none yet, made now; returns its log line."""
        line: EffectLine = {"event": "effect", "key": key, "at": at, "effect": self.effects + 1}
        if result is not None:
            line["result"] = result
        self.take(line)
        return line

    def take(self, line: EffectLine) -> None:
        """The effect that a line tells of: what was accepted for its key stands for it too."""
        self.effects = max(self.effects, line["effect"])
        memory = self.memory(line["key"])
        memory.effect, memory.result = line["effect"], line.get("result")
        for entry in memory.entries:
            if entry.outcome == ACCEPT_LATER:
                entry.effect = line["effect"]

    def finished(self, plugin_id: str, key: str) -> bool | None:
        """Whether nothing is left to cancel; None when the plugin never got the key.

        Work is finished by its effect, and by a failure that the plugin itself answered unless
        another delivery is still open. What no plugin answered may go on: it is not finished.
        """
        memory = self.keys.get(key, KeyMemory())
        found = [entry for entry in memory.entries if entry.sent["plugin_id"] == plugin_id]
        if not found:
            return None
        if memory.effect is not None:
            return True
        outcomes = [entry.outcome for entry in found if entry.outcome != "stale"]
        last = outcomes[-1] if outcomes else None
        return None not in outcomes and (last or "").startswith(("fail:", "reject:"))

    def cancel(self, line: CancelLine) -> None:
        """Keep a request to cancel, and do it when it was granted; a replay does the same again."""
        self.cancellations.append(line)
        if line["answered"] == CANCELLED:
            self.memory(line["key"]).cancelled = True

    def unwanted(self, key: str, at: str) -> UnwantedLine:
        """Nobody wants the work of a key any more; returns the log line that says so."""
        self.memory(key).cancelled = True
        return {"event": "unwanted", "key": key, "at": at}

    def reset(self, at: str) -> ResetLine:
        """Forget everything that came; returns the log line that says so.

        A delivery under way keeps its own memory: it ends, but nothing after the reset sees it.
        """
        self.keys.clear()
        self.entries.clear()
        self.cancellations.clear()
        self.reservations = Reservations()
        self.notifications = Notifications(self.notifications.work_orders)
        self.sinks.clear()
        return {"event": "reset", "at": at}

    def find(
        self, *, plugin_id: str | None, task_id: str | None, key: str | None
    ) -> Iterator[Entry]:
        """Deliveries in order of arrival; None asks for any."""
        return (
            entry
            for entry in self.entries
            if (plugin_id is None or entry.sent["plugin_id"] == plugin_id)
            and (task_id is None or entry.sent["task_id"] == task_id)
            and (key is None or entry.sent["key"] == key)
        )
