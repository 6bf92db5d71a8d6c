"""A ledger as text and back: what a governor hands to its next run.

Fields are added, with a default, and never renamed.
"""

from pydantic import Field

from domain.admission import MOST_CONFLICTS, Ledger
from domain.decisions import Conflict, Counters, Holder, Refused, Request
from domain.limits import Demand, OnConflict, TenantLimits
from domain.packing import pack, unpack
from domain.payload import Payload
from domain.task import Overlap

MOST_REFUSED = 1000
"""Runs that were refused while they waited and go into a state: one that ended without a word is
never released.
"""


class RequestState(Payload):
    """A `Request`, flat."""

    run_id: str
    task_id: str
    units: list[tuple[str, int]]
    overlap: Overlap
    priority: int
    on_conflict: OnConflict
    asked_at: float
    deadline: float

    @classmethod
    def of(cls, request: Request) -> "RequestState":
        """As it goes over the wire and into a state."""
        demand = request.demand
        return cls(
            run_id=request.run_id,
            task_id=demand.task_id,
            units=list(demand.units),
            overlap=demand.overlap,
            priority=demand.priority,
            on_conflict=demand.on_conflict,
            asked_at=request.asked_at,
            deadline=request.deadline,
        )

    def request(self) -> Request:
        """The same for a ledger."""
        demand = Demand(
            self.task_id, tuple(self.units), self.overlap, self.priority, self.on_conflict
        )
        return Request(self.run_id, demand, self.asked_at, self.deadline)


class HolderState(Payload):
    """A `Holder`, flat."""

    request: RequestState
    fence: int
    since: float
    without: list[str] = Field(default_factory=list)
    confirmed: bool = True
    stopped_by: str | None = None


class RefusedState(Payload):
    """A run that was refused while it waited, and was not released yet."""

    run_id: str
    code: str
    reason: str


class LedgerState(Payload):
    """A whole ledger."""

    limits: TenantLimits
    fence: int = 0
    holders: list[HolderState] = Field(default_factory=list)
    waiting: list[RequestState] = Field(default_factory=list)
    refused: list[RefusedState] = Field(default_factory=list)
    counters: dict[str, int] = Field(default_factory=dict)
    conflicts: list[Conflict] = Field(default_factory=list)
    settled_at: float = 0.0


def state_of(ledger: Ledger) -> LedgerState:
    """All that there is to a ledger."""
    counters = ledger.counters
    return LedgerState(
        limits=ledger.limits,
        fence=ledger.fence,
        settled_at=ledger.settled_at,
        holders=[
            HolderState(
                request=RequestState.of(holder.request),
                fence=holder.fence,
                since=holder.since,
                without=list(holder.without),
                confirmed=holder.confirmed,
                stopped_by=holder.stopped_by,
            )
            for holder in ledger.holders.values()
        ],
        waiting=[RequestState.of(request) for request in ledger.waiting.values()],
        refused=[
            RefusedState(run_id=run_id, code=refused.code, reason=refused.reason)
            for run_id, refused in list(ledger.refused.items())[-MOST_REFUSED:]
        ],
        counters={name: getattr(counters, name) for name in Counters.__slots__},
        conflicts=list(ledger.conflicts)[-MOST_CONFLICTS:],
    )


def ledger_of(state: LedgerState) -> Ledger:
    """The ledger that `state_of` was given; who does not know of its answer is woken again."""
    ledger = Ledger(state.limits, fence=state.fence, settled_at=state.settled_at)
    known = {name: n for name, n in state.counters.items() if name in Counters.__slots__}
    ledger.counters = Counters(**known)
    ledger.conflicts.extend(Conflict(*conflict) for conflict in state.conflicts)
    for holder in state.holders:
        ledger.take_up(
            Holder(
                holder.request.request(),
                holder.fence,
                holder.since,
                tuple(holder.without),
                holder.confirmed,
                holder.stopped_by,
            )
        )
    for request in state.waiting:
        ledger.take_up(request.request())
    for run in state.refused:
        ledger.refused[run.run_id] = Refused(run.code, run.reason)
    ledger.wake(ledger.refused)
    return ledger


def pack_ledger(ledger: Ledger) -> str:
    """A ledger as short text: ten thousand waiting runs fit into a payload."""
    return pack(state_of(ledger).model_dump_json())


def unpack_ledger(packed: str) -> Ledger:
    """`pack_ledger` backwards. Errors: `ValueError`."""
    return ledger_of(LedgerState.model_validate_json(unpack(packed), extra="ignore"))
