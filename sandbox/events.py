"""What the sandbox knows of every event that came to one of its sinks. No I/O."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import JsonValue
from typing_extensions import TypedDict

Event = dict[str, JsonValue]
"""One CloudEvent as it was sent, by the names of its attributes."""


class EventsLine(TypedDict):
    """One line of the log: a request with events and what became of it.

    `message` is the id that the script is walked by. `taken` is false when the script let the
    request fail. `outcome` is the word of the script, `at` RFC 3339 in UTC with microseconds.
    """

    event: Literal["events"]
    sink: str
    message: str
    events: list[Event]
    taken: bool
    outcome: str
    at: str


@dataclass(slots=True)
class Sink:
    """All that came to one sink since the last reset; `events` by source and id, by arrival."""

    events: dict[tuple[str, str], Event] = field(default_factory=dict)
    repeats: int = 0
    asked: Counter[str] = field(default_factory=Counter)

    def record(self, line: EventsLine) -> None:
        """Count a request and keep what is new; a replay does the same again."""
        self.asked[line["message"]] += 1
        if not line["taken"]:
            return
        for event in line["events"]:
            known = (str(event["source"]), str(event["id"]))
            self.repeats += known in self.events
            self.events.setdefault(known, event)

    def view(self) -> dict[str, Any]:
        """The sink as `GET /control/sinks/{name}` shows it."""
        return {
            "events": list(self.events.values()),
            "requests": self.asked.total(),
            "repeats": self.repeats,
        }
