"""What a run asks of its tenant's ledger, and what it is told. Times in seconds since 1970."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from domain.limits import Demand, named

AGEING = 60.0
"""Seconds of waiting that make up for one priority level."""

Key = tuple[float, str]
"""Place in the order: the virtual time of asking, then the run's id."""


@dataclass(frozen=True, slots=True)
class Request:
    """One run's request: `asked_at` and `deadline` in seconds; past the deadline it is refused."""

    run_id: str
    demand: Demand
    asked_at: float
    deadline: float
    key: Key = field(init=False, repr=False, compare=False)
    """Its place in the order, for ever."""

    def __post_init__(self) -> None:
        key = (self.asked_at + (self.demand.priority - 1) * AGEING, self.run_id)
        object.__setattr__(self, "key", key)


@dataclass(slots=True)
class Holder:
    """A run that was admitted.

    `without`: dimensions whose holders it runs beside, with a warning. `confirmed`: it knows of its
    grant. `stopped_by`: the newer run for which it is cancelled.
    """

    request: Request
    fence: int
    since: float
    without: tuple[str, ...] = ()
    confirmed: bool = True
    stopped_by: str | None = None

    def units(self) -> Iterator[tuple[str, int]]:
        """What it counts for."""
        return (unit for unit in self.request.demand.units if unit[0] not in self.without)


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why a run waits, for one dimension: who holds it, or who is before it."""

    dimension: str
    limit: int
    used: int
    wanted: int
    runs: tuple[str, ...]

    def sentence(self) -> str:
        """For people."""
        runs = ", ".join(self.runs)
        if self.dimension.startswith("overlap:"):
            return f"an earlier run of the task has not ended: {runs}"
        what = f"{named(self.dimension)} (limit {self.limit}, {self.used} in use)"
        if self.used + self.wanted > self.limit:
            return f"{what} is held by {runs}" if runs else f"{what} is used up"
        return f"{what} is kept for {runs}, which asked before"


def first_of(blockers: Sequence[Blocker]) -> Blocker:
    """The one to name: what somebody holds before what is kept for somebody."""
    return next((b for b in blockers if b.used + b.wanted > b.limit and b.runs), blockers[0])


@dataclass(frozen=True, slots=True)
class Granted:
    """Admitted. `warning`: beside what it runs although `on_conflict` found a conflict."""

    fence: int
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """Waits: its position in the tenant's queue, from 1, and what blocks it."""

    position: int
    blockers: tuple[Blocker, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Not admitted, for good. `code`: `overlap`, `superseded`, `conflict`, `queue_timeout` or
    `impossible`.
    """

    code: str
    reason: str


Decision = Granted | Queued | Refused


class Conflict(NamedTuple):
    """A run, `run_id`, that was not admitted when it asked; `blockers` are runs."""

    number: int
    at: float
    task_id: str
    dimension: str
    blockers: tuple[str, ...]
    run_id: str = ""


@dataclass(slots=True)
class Counters:
    """Of a ledger, since it began: runs that asked, and what became of them."""

    attempts: int = 0
    contended: int = 0
    granted: int = 0
    refused: int = 0
    timed_out: int = 0
    swept: int = 0


def warning_of(holder: Holder) -> str | None:
    """What a run is warned of that was admitted in spite of a conflict."""
    if not holder.without:
        return None
    names = " and ".join(named(dimension) for dimension in holder.without)
    return f"it runs beside the holders of {names}: its on_conflict is warn"
