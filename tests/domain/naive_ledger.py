"""The rules of `domain.admission` as plainly as they can be said: a full scan, no index, no memory.

Only for comparison: what the ledger answers fast, this answers slowly and the same.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from domain.admission import PATIENCE
from domain.decisions import Decision, Granted, Queued, Refused, Request
from domain.limits import TenantLimits, impossible, limit_of
from domain.task import Overlap


class Told(NamedTuple):
    """An answer without its words: `short` are the dimensions a waiting run waits for."""

    kind: str
    number: int = 0
    short: tuple[str, ...] = ()
    code: str = ""
    warned: bool = False


def told(decision: Decision | None) -> Told:
    """What a ledger's decision comes to."""
    match decision:
        case Granted(fence, warning):
            return Told("granted", fence, warned=warning is not None)
        case Queued(position, blockers):
            return Told("queued", position, tuple(blocker.dimension for blocker in blockers))
        case Refused(code):
            return Told("refused", code=code)
        case _:
            return Told("unknown")


@dataclass
class NaiveHolder:
    """A run that was admitted: what it counts for, and the newer run that replaces it."""

    request: Request
    fence: int
    units: dict[str, int]
    warned: bool = False
    stopped_by: str | None = None


@dataclass
class NaiveLedger:
    """All that there is to a tenant: who holds, who waits, who was refused while it waited."""

    limits: TenantLimits
    fence: int = 0
    holders: dict[str, NaiveHolder] = field(default_factory=dict)
    waiting: dict[str, Request] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    settled_at: float = 0.0

    def decide_all(self, requests: list[Request], now: float) -> list[Told]:
        """One after the other, the first in the order first."""
        answers: dict[str, Told] = {}
        for request in sorted(requests, key=lambda request: request.key):
            if request.run_id not in answers:
                answers[request.run_id] = self._decide(request, now)
        for run_id, answer in answers.items():
            if answer.kind == "queued":
                answers[run_id] = self.explain(run_id)
        return [answers[run.run_id] for run in requests]

    def _decide(self, request: Request, now: float) -> Told:
        """It enters, all are settled, then a new one meets its `on_conflict`."""
        run_id = request.run_id
        self.settle(now)
        if run_id not in self.holders and run_id not in self.refused:
            was_waiting = run_id in self.waiting
            code = self._enter(request, now)
            if code:
                self.settle(now)
                return Told("refused", code=code)
            if not was_waiting:
                del self.waiting[run_id]  # others that it replaces make way before it is looked at
                self.settle(now)
                self.waiting[run_id] = request
                gone = self._scan(until=request) and self._meet_conflict(request)
                self.settle(now)
                if gone and run_id not in self.holders:
                    return Told("refused", code="conflict")
        return self.explain(run_id)

    def release(self, run_id: str, now: float) -> None:
        """It holds nothing, waits for nothing and is remembered no more."""
        self.holders.pop(run_id, None)
        self.waiting.pop(run_id, None)
        self.refused.pop(run_id, None)
        self.settle(now)

    def set_limits(self, limits: TenantLimits, now: float) -> None:
        """Who can never go under them is refused."""
        self.limits = limits
        for request in list(self.waiting.values()):
            if impossible(request.demand, limits):
                self._drop(request.run_id, "impossible")
        self.settle(now)

    def settle(self, now: float) -> None:
        """Refuse who is too late, then go through the whole queue once."""
        for request in list(self.waiting.values()):
            if request.deadline <= now:
                self._drop(request.run_id, "queue_timeout")
        self.settled_at = now
        self._scan(until=None)

    def explain(self, run_id: str) -> Told:
        """What it is told now."""
        if holder := self.holders.get(run_id):
            return Told("granted", holder.fence, warned=holder.warned)
        if request := self.waiting.get(run_id):
            position = [other.run_id for other in self._queue()].index(run_id) + 1
            return Told("queued", position, self._scan(until=request))
        if code := self.refused.get(run_id):
            return Told("refused", code=code)
        return Told("unknown")

    def used(self, dimension: str) -> int:
        """The sum of what the holders count for."""
        return sum(holder.units.get(dimension, 0) for holder in self.holders.values())

    def _queue(self) -> list[Request]:
        return sorted(self.waiting.values(), key=lambda request: request.key)

    def _scan(self, until: Request | None) -> tuple[str, ...]:
        """Admit in order; or, up to one run, only look, and say what that one is short of."""
        reserved: dict[str, int] = {}
        waited_for: set[str] = set()
        for request in self._queue():
            short = tuple(
                name
                for name, wanted in request.demand.units
                if (limit := limit_of(self.limits, name)) is not None
                and self.used(name) + reserved.get(name, 0) + wanted > limit
            )
            if request is until:
                return short
            if not short:
                assert until is None, f"{request.run_id} could go and was left waiting"
                self._grant(request, ())
            elif not waited_for & set(short):
                waited_for |= set(short)
                for name, wanted in request.demand.units:
                    if name in short or self.settled_at - request.asked_at >= PATIENCE:
                        reserved[name] = reserved.get(name, 0) + wanted
        return ()

    def _enter(self, request: Request, now: float) -> str | None:
        if request.deadline <= now:
            self.waiting.pop(request.run_id, None)
            return "queue_timeout"
        if request.run_id in self.waiting:
            return None
        if impossible(request.demand, self.limits):
            return "impossible"
        runs = [holder.request for holder in self.holders.values()] + list(self.waiting.values())
        others = [run for run in runs if run.demand.task_id == request.demand.task_id]
        if others and request.demand.overlap is Overlap.SKIP:
            return "overlap"
        if request.demand.overlap is Overlap.CANCEL_RUNNING:
            mine = request.asked_at, request.run_id
            if any((other.asked_at, other.run_id) > mine for other in others):
                return "superseded"
            for other in others:
                if holder := self.holders.get(other.run_id):
                    holder.stopped_by = request.run_id
                else:
                    self._drop(other.run_id, "superseded")
        self.waiting[request.run_id] = request
        return None

    def _meet_conflict(self, request: Request) -> bool:
        short = self._scan(until=request)
        rule = request.demand.on_conflict
        if rule == "queue" or any(name.startswith("overlap:") for name in short):
            return False
        if rule == "warn":
            self._grant(request, short)
        else:
            del self.waiting[request.run_id]
        return True

    def _grant(self, request: Request, without: tuple[str, ...]) -> None:
        del self.waiting[request.run_id]
        self.fence += 1
        units = {name: n for name, n in request.demand.units if name not in without}
        self.holders[request.run_id] = NaiveHolder(request, self.fence, units, bool(without))

    def _drop(self, run_id: str, code: str) -> None:
        del self.waiting[run_id]
        self.refused[run_id] = code
