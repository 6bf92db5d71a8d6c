"""What the sandbox knows of every reservation of capacity. No I/O.

A reservation is held from the request that was granted until its release, and counts once however
often it is asked for. Its start and duration are not looked at: what is held is in use now.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue
from typing_extensions import TypedDict

Action = Literal["reserve", "release"]


class CapacityLine(TypedDict):
    """One line of the log: a request for capacity and what became of it.

    `granted` is null when the script let the request fail, and true for every release that was
    done. `resources` are those asked for, or given back. `outcome` is the word of the script,
    `at` RFC 3339 in UTC with microseconds.
    """

    event: Literal["capacity"]
    action: Action
    reservation_id: str
    tenant_id: str
    task_id: str
    resources: dict[str, int]
    granted: bool | None
    outcome: str
    at: str


@dataclass(slots=True)
class Reservations:
    """All that came since the last reset; `held` are the lines that granted what is held."""

    held: dict[str, CapacityLine] = field(default_factory=dict)
    asked: Counter[tuple[str, Action]] = field(default_factory=Counter)

    @property
    def in_use(self) -> Counter[str]:
        """The sum of what is held, by resource."""
        total: Counter[str] = Counter()
        for line in self.held.values():
            total.update(line["resources"])
        return total

    def record(self, line: CapacityLine) -> None:
        """Count a request and do what was granted; a replay does the same again."""
        reservation_id, action = line["reservation_id"], line["action"]
        self.asked[reservation_id, action] += 1
        if not line["granted"]:
            return
        if action == "release":
            self.held.pop(reservation_id, None)
        else:
            self.held.setdefault(reservation_id, line)

    def lacking(self, resources: Mapping[str, int], limits: Mapping[str, int]) -> str | None:
        """Why these resources do not fit into the limits now; None when they do."""
        in_use = self.in_use
        for name, amount in sorted(resources.items()):
            limit = limits.get(name)
            if limit is not None and in_use[name] + amount > limit:
                return f"{name}: {amount} asked, {in_use[name]} of {limit} in use"
        return None

    def view(self) -> dict[str, JsonValue]:
        """The reservations as `GET /control/capacity` shows them."""
        return {
            "reserved": {
                reservation_id: {
                    "tenant_id": line["tenant_id"],
                    "task_id": line["task_id"],
                    "resources": dict(line["resources"]),
                    "at": line["at"],
                }
                for reservation_id, line in self.held.items()
            },
            "in_use": dict(self.in_use),
            "requests": self.asked.total(),
        }
