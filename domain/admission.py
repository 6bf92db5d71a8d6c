"""The ledger of a tenant: who holds what, who waits, who is next, and why.

Pure: time is an argument, in seconds since 1970. The governor decides with it, the forecast and the
dry run simulate with it, `why` explains with it.

The rules, in order:

1. A run that holds, holds: asking again answers the same fence.
2. A run asks for everything that it needs at once and gets all or nothing.
3. Waiting runs are ordered by when they asked, each priority level below the first counting as
   `AGEING` seconds later. The order never changes, so whoever waits moves up as time passes.
4. A run is admitted when everything that it needs is free and not reserved by one before it. The
   first in the order that waits for a dimension reserves what it needs of those that are short, and
   all that it needs once it has waited for `PATIENCE`; who waits for the same behind one that
   reserves, reserves nothing. So large requests are not passed for ever by small ones, the many
   behind it block nobody, and what is free is not kept idle for a short wait.
5. A run that was refused while it waited is told so when it asks again, until it is released.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice

from domain.decisions import (
    Blocker,
    Conflict,
    Counters,
    Decision,
    Granted,
    Holder,
    Key,
    Queued,
    Refused,
    Request,
    first_of,
    warning_of,
)
from domain.limits import CONCURRENT, TenantLimits, Units, impossible, limit_of
from domain.task import Overlap

PATIENCE = 30.0
"""Seconds of waiting after which nobody passes a run, whatever it waits for."""
MOST_CONFLICTS = 1000
"""Conflicts that a ledger remembers, for the forecast to score."""
MOST_NAMED = 3
"""Runs that a blocker names."""
TOO_LATE = "it waited until its queue_timeout"


@dataclass(slots=True)
class Ledger:
    """The state of one tenant. Every method may be called twice; the second changes nothing."""

    limits: TenantLimits
    fence: int = 0
    holders: dict[str, Holder] = field(default_factory=dict)
    waiting: dict[str, Request] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    conflicts: deque[Conflict] = field(default_factory=lambda: deque(maxlen=MOST_CONFLICTS))
    used: dict[str, int] = field(default_factory=dict)
    settled_at: float = 0.0
    _order: list[Key] = field(default_factory=list)
    _lines: dict[Units, list[Key]] = field(default_factory=dict)
    _deadlines: list[tuple[float, str]] = field(default_factory=list)
    _held: dict[str, dict[str, None]] = field(default_factory=dict)
    _of_task: dict[str, set[str]] = field(default_factory=dict)
    _limits: dict[str, int | None] = field(default_factory=dict)
    _never: dict[Units, str | None] = field(default_factory=dict)
    _left: int = 0
    _wake: set[str] = field(default_factory=set)
    _stop: set[str] = field(default_factory=set)

    def decide(self, request: Request, now: float) -> Decision:
        """Answer one request."""
        self._expire(now)
        run_id = request.run_id
        if run_id in self.holders or run_id in self.refused:
            return self._answer(request)
        known = run_id in self.waiting
        if request.deadline <= now:
            self.counters.attempts += not known
            self.release(run_id, now)
            return self._refuse("queue_timeout", TOO_LATE)
        if known:
            return self._answer(request)
        self.counters.attempts += 1
        return self._refused_at_once(request, now) or self._admit(request, now)

    def decide_all(self, requests: Iterable[Request], now: float) -> list[Decision]:
        """Answer requests that came together, the first in the order first."""
        told: dict[str, Decision] = {}
        before = self._left, self.fence
        for request in sorted(requests := list(requests), key=lambda request: request.key):
            if request.run_id not in told:
                told[request.run_id] = self.decide(request, now)
        if (self._left, self.fence) != before:  # later ones may have changed what these wait for
            for request in requests:
                if isinstance(told[request.run_id], Queued):
                    told[request.run_id] = self._answer(request)
        return [told[request.run_id] for request in requests]

    def release(self, run_id: str, now: float) -> bool:
        """A run has ended, or waits no longer; whether it was known. Who can go then, goes."""
        holder = self.holders.pop(run_id, None)
        if holder:
            for dimension, count in holder.units():
                self.used[dimension] -= count
                del self._held[dimension][run_id]
            self._forget_task(holder.request)
        request = self._leave(run_id)
        if holder or request:
            self.settle(now)
        refused = self.refused.pop(run_id, None)
        self._wake.discard(run_id)
        self._stop.discard(run_id)
        return bool(holder or request or refused)

    def set_limits(self, limits: TenantLimits, now: float) -> None:
        """Other limits from now on: who runs goes on, who asks meets them."""
        self.limits = limits
        self._limits.clear()
        self._never.clear()
        for request in list(self.waiting.values()):
            if why := impossible(request.demand, limits):
                self._drop(request.run_id, "impossible", why)
        self.settle(now)

    def take_up(self, run: Holder | Request) -> None:
        """Enter a run as another ledger of the tenant left it; one that is known stays as it is."""
        if isinstance(run, Request):
            if self.explain(run.run_id) is None:
                self._wait(run)
            return
        if run.request.run_id in self.holders:
            return
        self._leave(run.request.run_id)
        self.refused.pop(run.request.run_id, None)
        self.fence = max(self.fence, run.fence)
        self._hold(run)
        if not run.confirmed:
            self._wake.add(run.request.run_id)
        if run.stopped_by:
            self._stop.add(run.request.run_id)

    def settle(self, now: float) -> None:
        """Admit everybody who can go, in order; refuse who waited past the deadline."""
        self._expire(now)
        if self.waiting:
            self._scan(now)

    def _expire(self, now: float) -> None:
        """Refuse who waited past the deadline; that may let others go."""
        self.settled_at = now
        late = False
        while self._deadlines and self._deadlines[0][0] <= now:
            run = self.waiting.get(heappop(self._deadlines)[1])
            if run and run.deadline <= now:
                self._drop(run.run_id, "queue_timeout", TOO_LATE)
                late = True
        if late and self.waiting:
            self._scan(now)

    def _scan(self, now: float) -> None:
        reserved: dict[str, int] = {}
        claimed: set[str] = set()
        heads = [(line[0], units) for units, line in self._lines.items()]
        heapify(heads)
        one_more = ((CONCURRENT, 1),)
        while heads and not self._short(one_more, reserved):  # else nobody at all can go
            key, units = heads[0]
            if short := self._short(units, reserved):
                # Nobody behind it in its line can go or reserve either: all of them need the same.
                heappop(heads)
                if claimed.isdisjoint(short):
                    claimed.update(short)
                    for dimension, count in self._kept(key[1], units, short):
                        reserved[dimension] = reserved.get(dimension, 0) + count
                continue
            request = self.waiting[key[1]]
            self._leave(request.run_id)
            self._grant(request, now)
            self._wake.add(request.run_id)
            if line := self._lines.get(units):
                heapreplace(heads, (line[0], units))
            else:
                heappop(heads)

    def explain(self, run_id: str) -> Decision | None:
        """What a run that asked is told now; None for one that this ledger does not know."""
        if holder := self.holders.get(run_id):
            return Granted(holder.fence, warning_of(holder))
        request = self.waiting.get(run_id)
        if request is None:
            return self.refused.get(run_id)
        return Queued(bisect_left(self._order, request.key) + 1, self._blockers(request))

    def wake(self, run_ids: Iterable[str]) -> None:
        """Have these runs ask again."""
        self._wake.update(run_ids)

    def remind(self, before: float) -> None:
        """Have those asked again who were admitted before then, and do not know it yet; and those
        stopped again whom a newer run still waits for.
        """
        for run_id, holder in self.holders.items():
            if not holder.confirmed and holder.since < before:
                self._wake.add(run_id)
            if holder.stopped_by:
                self._stop.add(run_id)

    def take_wake(self) -> list[str]:
        """Runs that should ask again because their answer has changed; each is given once."""
        found, self._wake = sorted(self._wake), set()
        return found

    def take_stop(self) -> list[tuple[str, str]]:
        """(run, newer run) for runs that a newer one replaces; each is given once."""
        found, self._stop = sorted(self._stop), set()
        return [
            (run_id, self.holders[run_id].stopped_by or "")
            for run_id in found
            if run_id in self.holders
        ]

    def _refused_at_once(self, request: Request, now: float) -> Refused | None:
        if why := self._impossible(request):
            return self._refuse("impossible", why)
        return self._meet_others(request, now)

    def _impossible(self, request: Request) -> str | None:
        units = request.demand.units
        if units not in self._never:
            self._never[units] = impossible(request.demand, self.limits)
        return self._never[units]

    def _meet_others(self, request: Request, now: float) -> Refused | None:
        """What the overlap rule makes of a request while other runs of its task are under way."""
        others = self._of_task.get(request.demand.task_id)
        if not others:
            return None
        if request.demand.overlap is Overlap.SKIP:
            first = min(others, key=self._asked)
            self._note(request, now, f"overlap:{request.demand.task_id}", (first,))
            return self._refuse("overlap", f"{first} was still under way")
        if request.demand.overlap is Overlap.CANCEL_RUNNING:
            newest = max(others, key=self._asked)
            if self._asked(newest) > (request.asked_at, request.run_id):
                return self._refuse("superseded", f"{newest} is newer")
            for run_id in sorted(others):
                if holder := self.holders.get(run_id):
                    holder.stopped_by = request.run_id
                    self._stop.add(run_id)
                else:
                    self._drop(run_id, "superseded", f"{request.run_id} is newer")
            self.settle(now)
        return None

    def _admit(self, request: Request, now: float) -> Decision:
        """Of a new run: it goes, or its `on_conflict` says what becomes of it.

        Behind earlier runs of its own task it waits whatever the rule: that is its overlap rule.
        """
        short = self._blockers(request)
        if not short:
            self._grant(request, now)
            return self._answer(request)
        first = first_of(short)
        self._note(request, now, first.dimension, first.runs)
        rule = request.demand.on_conflict
        if rule == "queue" or any(b.dimension.startswith("overlap:") for b in short):
            self._wait(request)
            if self._order[-1] == request.key:
                return Queued(len(self._order), short)
            self._scan(now)  # before others: one of them may now wait behind it, and keep nothing
            return self._answer(request)
        if rule == "warn":
            self._grant(request, now, tuple(blocker.dimension for blocker in short))
            return self._answer(request)
        return self._refuse("conflict", "; ".join(blocker.sentence() for blocker in short))

    def _answer(self, request: Request) -> Decision:
        """What is so by now for a run that has just asked."""
        if holder := self.holders.get(request.run_id):
            holder.confirmed = True
        self._wake.discard(request.run_id)
        found = self.explain(request.run_id)
        if found is None:
            raise AssertionError(f"{request.run_id} neither holds nor waits, and was not refused")
        return found

    def _blockers(self, request: Request) -> tuple[Blocker, ...]:
        """Per dimension that is short for a run that waits, or would: who has it or keeps it."""
        if not self.waiting and not self._short(request.demand.units, {}):
            return ()
        reserved: dict[str, int] = {}
        claimed: set[str] = set()
        keepers: dict[str, list[str]] = {}
        for key, units in sorted((line[0], units) for units, line in self._lines.items()):
            if key >= request.key:
                break
            if (short := self._short(units, reserved)) and claimed.isdisjoint(short):
                claimed.update(short)
                for dimension, count in self._kept(key[1], units, short):
                    reserved[dimension] = reserved.get(dimension, 0) + count
                    keepers.setdefault(dimension, []).append(key[1])
        short = self._short(request.demand.units, reserved)
        return tuple(
            self._blocker(name, wanted, keepers.get(name, ()))
            for name, wanted in request.demand.units
            if name in short
        )

    def _kept(self, run_id: str, units: Units, short: list[str]) -> Units:
        """What the first that waits keeps from those behind it."""
        if self.settled_at - self.waiting[run_id].asked_at >= PATIENCE:
            return units
        return tuple(unit for unit in units if unit[0] in short)

    def _blocker(self, dimension: str, wanted: int, keepers: Iterable[str]) -> Blocker:
        limit, used = self._limit(dimension) or 0, self.used.get(dimension, 0)
        runs = self._held.get(dimension, ()) if used + wanted > limit else keepers
        return Blocker(dimension, limit, used, wanted, tuple(islice(runs, MOST_NAMED)))

    def _limit(self, dimension: str) -> int | None:
        if dimension not in self._limits:
            self._limits[dimension] = limit_of(self.limits, dimension)
        return self._limits[dimension]

    def _short(self, units: Units, reserved: dict[str, int]) -> list[str]:
        """The dimensions that do not have so many units left."""
        limits, used, short = self._limits, self.used, []
        for dimension, wanted in units:
            limit = limits[dimension] if dimension in limits else self._limit(dimension)
            if limit is not None and (
                used.get(dimension, 0) + reserved.get(dimension, 0) + wanted > limit
            ):
                short.append(dimension)
        return short

    def _grant(self, request: Request, now: float, without: tuple[str, ...] = ()) -> None:
        self.fence += 1
        self.counters.granted += 1
        self._hold(Holder(request, self.fence, now, without, confirmed=False))

    def _hold(self, holder: Holder) -> None:
        request = holder.request
        self.holders[request.run_id] = holder
        self._of_task.setdefault(request.demand.task_id, set()).add(request.run_id)
        for dimension, count in holder.units():
            self.used[dimension] = self.used.get(dimension, 0) + count
            self._held.setdefault(dimension, {})[request.run_id] = None

    def _wait(self, request: Request) -> None:
        self.waiting[request.run_id] = request
        heappush(self._deadlines, (request.deadline, request.run_id))
        insort(self._order, request.key)
        insort(self._lines.setdefault(request.demand.units, []), request.key)
        self._of_task.setdefault(request.demand.task_id, set()).add(request.run_id)

    def _drop(self, run_id: str, code: str, reason: str) -> None:
        """Refuse a run that waits: it is told when it asks again."""
        self._leave(run_id)
        self.refused[run_id] = self._refuse(code, reason)
        self._wake.add(run_id)

    def _leave(self, run_id: str) -> Request | None:
        """Take a run out of the queue."""
        request = self.waiting.pop(run_id, None)
        if request is None:
            return None
        self._left += 1
        _remove(self._order, request.key)
        line = self._lines[request.demand.units]
        _remove(line, request.key)
        if not line:
            del self._lines[request.demand.units]
        self._forget_task(request)
        return request

    def _forget_task(self, request: Request) -> None:
        runs = self._of_task[request.demand.task_id]
        runs.discard(request.run_id)
        if not runs:
            del self._of_task[request.demand.task_id]

    def _asked(self, run_id: str) -> Key:
        request = self.holders[run_id].request if run_id in self.holders else self.waiting[run_id]
        return request.asked_at, run_id

    def _refuse(self, code: str, reason: str) -> Refused:
        if code == "queue_timeout":
            self.counters.timed_out += 1
        else:
            self.counters.refused += 1
        return Refused(code, reason)

    def _note(self, request: Request, now: float, dimension: str, runs: tuple[str, ...]) -> None:
        self.counters.contended += 1
        self.conflicts.append(
            Conflict(
                self.counters.contended,
                now,
                request.demand.task_id,
                dimension,
                runs,
                request.run_id,
            )
        )


def _remove(keys: list[Key], key: Key) -> None:
    del keys[bisect_left(keys, key)]
