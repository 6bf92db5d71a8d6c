"""Requests sent at their times, whatever became of those before, and how long each took."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import quantiles
from typing import Any


@dataclass(slots=True)
class Latencies:
    """Of one kind: seconds of each that went well, and what went wrong by its words."""

    seconds: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def failed(self, what: str) -> None:
        """Count an error."""
        self.errors[what] = self.errors.get(what, 0) + 1

    def summary(self) -> "Summary":
        """The figures."""
        ordered = sorted(self.seconds) or [0.0]
        cuts = quantiles(ordered, n=100, method="inclusive") if len(ordered) > 1 else ordered * 99
        return Summary(
            len(self.seconds),
            sum(self.errors.values()),
            *(round(value * 1000, 1) for value in (cuts[49], cuts[98], ordered[-1])),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """Latencies in milliseconds; beyond p99 and below it is what there was."""

    count: int
    errors: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def row(self, name: str) -> str:
        """A line of a table."""
        times = "".join(f"{value:>10,.0f}" for value in (self.p50_ms, self.p99_ms, self.max_ms))
        return f"{name:<28}{self.count:>7}{self.errors:>8}{times}\n"


HEADING = f"{'':<28}{'count':>7}{'errors':>8}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}\n"


async def spread(
    works: Sequence[Callable[[], Awaitable[str | None]]], seconds: float, found: Latencies
) -> None:
    """Begin each at its time, evenly over so many seconds, and wait for all.

    A latency counts from when the work was to begin: a sender that falls behind hides nothing. Work
    gives back what went wrong, if something did.
    """
    began = time.perf_counter()

    async def one(number: int, work: Callable[[], Awaitable[str | None]]) -> None:
        due = began + seconds * number / len(works)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        wrong = await work()
        if wrong:
            found.failed(wrong)
        else:
            found.seconds.append(time.perf_counter() - due)

    await asyncio.gather(*(one(number, work) for number, work in enumerate(works)))
