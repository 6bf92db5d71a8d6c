"""Reads the lines of a log back into a ledger, so that a restart forgets nothing."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from sandbox.breaches import NotificationLine
from sandbox.events import EventsLine
from sandbox.ledger import Entry, Ledger
from sandbox.lines import (
    UNKNOWN,
    CancelLine,
    DeliveryLine,
    EffectLine,
    ResetLine,
    Sent,
    UnwantedLine,
)
from sandbox.reservations import CapacityLine

_Line = (
    DeliveryLine
    | EffectLine
    | CancelLine
    | UnwantedLine
    | CapacityLine
    | NotificationLine
    | EventsLine
    | ResetLine
)
_LINE: TypeAdapter[_Line] = TypeAdapter(Annotated[_Line, Field(discriminator="event")])
_SENT = TypeAdapter(Sent)


class ReplayError(Exception):
    """A line is not of this log; the message names the line and what is wrong, in one line."""


def replay(lines: Iterable[bytes]) -> Ledger:
    """The ledger that wrote these lines. A delivery without an end stays open."""
    ledger = Ledger()
    open_entries: dict[tuple[str, int], Entry] = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = _LINE.validate_json(line)
        except ValidationError as error:
            reason = error.errors()[0]
            where = ".".join(map(str, reason["loc"]))
            raise ReplayError(f"line {number}: {where or 'line'}: {reason['msg']}") from error
        if record["event"] == "reset":
            ledger.reset(record["at"])
            open_entries.clear()
        elif record["event"] == "capacity":
            ledger.reservations.record(record)
        elif record["event"] == "notification":
            ledger.notifications.record(record)
        elif record["event"] == "events":
            ledger.sink(record["sink"]).record(record)
        elif record["event"] == "cancel":
            ledger.cancel(record)
        elif record["event"] == "unwanted":
            ledger.unwanted(record["key"], record["at"])
        elif record["event"] == "effect":
            ledger.take(record)
        elif record["event"] == "start":
            entry = _entry(ledger, record)
            ledger.arrive(entry)
            open_entries[record["key"], record["delivery"]] = entry
        else:
            _end(ledger, open_entries.pop((record["key"], record["delivery"]), None), record)
    return ledger


def _entry(ledger: Ledger, record: DeliveryLine) -> Entry:
    return Entry(
        sent=_SENT.validate_python(record),
        started_at=record["at"],
        memory=ledger.memory(record["key"]),
        asked=record.get("asked", UNKNOWN),
    )


def _end(ledger: Ledger, entry: Entry | None, record: DeliveryLine) -> None:
    effect = record["effect"]
    if effect is not None:
        ledger.effects = max(ledger.effects, effect)
    if entry is None:  # it began before a reset: its effect number is used, the rest is forgotten
        return
    entry.ended_at = record["at"]
    entry.outcome = record["outcome"]
    entry.effect = effect
    if effect is not None and entry.memory.effect is None:
        entry.memory.effect = effect
        entry.memory.result = record.get("result")
