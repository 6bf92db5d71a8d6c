"""What a `Delivery` workflow still owes to whom: pure, in order for each sink."""

from collections.abc import Collection

from pydantic import Field

from domain.events_out import RunChanges, StateChange
from domain.payload import Payload

MOST_EVENTS = 100
"""In one request: a sink must not need to take megabytes at once."""

TAKE = "take"
"""Name of the signal that hands changes over; pinned."""


class Owed(Payload):
    """The argument of the signal `take`: changes of the run, and who was not told of them."""

    changes: RunChanges
    sinks: list[str]


class Deliver(Payload):
    """The argument of `deliver_changes`: tell one sink of these."""

    sink: str
    changes: RunChanges


class Delivered(Payload):
    """What became of them; an error instead when it is to be tried again.

    `settled`: the sequences that need no further try; `delivered` and `given_up` count them, and
    neither counts what the sink did not want to hear. `one_by_one`: the sink refused them
    together, and may take some of them alone.
    """

    settled: list[int] = Field(default_factory=list)
    delivered: int = 0
    given_up: int = 0
    one_by_one: bool = False


class SinkLine(Payload):
    """What one sink is owed, the oldest first. `seen`: every sequence that was ever handed over."""

    sink: str
    changes: list[StateChange] = Field(default_factory=list)
    seen: list[int] = Field(default_factory=list)
    one_by_one: bool = False


class DeliveryStart(Payload):
    """The argument of `Delivery`: nothing, or what the run before it could not end.

    `run`: whose changes they are, itself without any.
    """

    run: RunChanges | None = None
    lines: list[SinkLine] = Field(default_factory=list)
    delivered: int = 0
    given_up: int = 0


class DeliveryResult(Payload):
    """The result of `Delivery`: changes, counted for each sink."""

    delivered: int = 0
    given_up: int = 0


class Debts:
    """The lines of all sinks of one run."""

    def __init__(self, start: DeliveryStart) -> None:
        self._run = start.run
        self._lines = {line.sink: line for line in start.lines}
        self.delivered, self.given_up = start.delivered, start.given_up

    def take(self, owed: Owed) -> None:
        """More changes; those that were handed over before are not owed twice."""
        self._run = owed.changes.model_copy(update={"changes": []})
        for sink in owed.sinks:
            line = self._lines.get(sink) or SinkLine(sink=sink)
            new = {c.sequence: c for c in owed.changes.changes if c.sequence not in line.seen}
            changes = sorted([*line.changes, *new.values()], key=lambda c: c.sequence)
            self._lines[sink] = line.model_copy(
                update={"changes": changes, "seen": sorted({*line.seen, *new})}
            )

    def owing(self, besides: Collection[str]) -> list[str]:
        """The sinks that are owed something, but for those."""
        return [sink for sink, line in self._lines.items() if line.changes and sink not in besides]

    def next_for(self, sink: str) -> Deliver | None:
        """What to tell the sink next; None when it was told everything."""
        line = self._lines[sink]
        if self._run is None or not line.changes:
            return None
        changes = line.changes[: 1 if line.one_by_one else MOST_EVENTS]
        return Deliver(sink=sink, changes=self._run.model_copy(update={"changes": changes}))

    def settle(self, sink: str, told: Delivered) -> None:
        """Strike out what needs no further try."""
        line = self._lines[sink]
        self.delivered += told.delivered
        self.given_up += told.given_up
        self._lines[sink] = line.model_copy(
            update={
                "changes": [c for c in line.changes if c.sequence not in told.settled],
                "one_by_one": line.one_by_one or told.one_by_one,
            }
        )

    def state(self) -> DeliveryStart:
        """What a next run of the workflow begins with."""
        return DeliveryStart(
            run=self._run,
            lines=list(self._lines.values()),
            delivered=self.delivered,
            given_up=self.given_up,
        )
