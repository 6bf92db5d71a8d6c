"""What the sandbox knows of every breach that it was notified of. No I/O."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue
from typing_extensions import TypedDict


class NotificationLine(TypedDict):
    """One line of the log: a request to notify and what became of it.

    `notification` is the body as sent. `taken` is false when the script let the request fail.
    `work_order_id` is that of the breach, null when it has none. `outcome` is the word of the
    script, `at` RFC 3339 in UTC with microseconds.
    """

    event: Literal["notification"]
    breach_id: str
    notification: dict[str, JsonValue]
    taken: bool
    work_order_id: str | None
    outcome: str
    at: str


@dataclass(slots=True)
class Notifications:
    """All that came since the last reset; `taken` are the lines that first told of a breach.

    The numbers of work orders grow for ever, from 1.
    """

    work_orders: int = 0
    taken: dict[str, NotificationLine] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def work_order(self, breach_id: str, *, wanted: bool) -> str | None:
        """The work order of a breach: the one that it has, else a new one if it is wanted."""
        known = self.taken.get(breach_id)
        if known is not None:
            return known["work_order_id"]
        return f"WO-{self.work_orders + 1}" if wanted else None

    def record(self, line: NotificationLine) -> None:
        """Count a request and keep what is new; a replay does the same again."""
        breach_id = line["breach_id"]
        self.asked[breach_id] += 1
        if not line["taken"] or breach_id in self.taken:
            return
        self.taken[breach_id] = line
        self.work_orders += line["work_order_id"] is not None

    def view(self) -> dict[str, JsonValue]:
        """The notifications as `GET /control/notifications` shows them."""
        return {
            "notifications": [
                line["notification"]
                | {
                    "work_order_id": line["work_order_id"],
                    "received": self.asked[breach_id],
                    "at": line["at"],
                }
                for breach_id, line in self.taken.items()
            ],
            "requests": self.asked.total(),
        }
