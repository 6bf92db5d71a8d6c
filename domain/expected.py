"""When a waiting run is likely to start: its tenant's ledger, played forward."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from domain.admission import Ledger
from domain.ledger_state import LedgerState, ledger_of

MOST_EVENTS = 20_000
"""Runs that end or give up before it: further ahead, nobody can tell."""
OVERDUE = 1.0
"""Seconds that a run is given which is under way for longer than its task's runs usually are."""

_Event = tuple[float, int, str]
_END, _DEADLINE = 0, 1


def expected_start(
    state: LedgerState, run_id: str, lasts: Callable[[str], float], now: float
) -> float | None:
    """When a run starts (seconds since 1970) if every run of a task takes `lasts(task_id)` seconds.

    None for a run that does not wait, that will not be admitted before its deadline, or that waits
    behind more than `MOST_EVENTS` others.
    """
    ledger = ledger_of(state)
    if run_id not in ledger.waiting:
        return None
    ledger.settle(now)
    events = [
        (max(holder.since + lasts(holder.request.demand.task_id), now + OVERDUE), _END, holder_id)
        for holder_id, holder in ledger.holders.items()
    ]
    # Who gives up lets those go that were kept behind it.
    events += [(one.deadline, _DEADLINE, one.run_id) for one in ledger.waiting.values()]
    heapify(events)
    ledger.take_wake()
    for _ in range(MOST_EVENTS):
        if run_id in ledger.holders:
            return now
        if not events or run_id not in ledger.waiting:
            return None
        now, kind, found = heappop(events)
        if kind == _END:
            ledger.release(found, now)
        else:
            ledger.settle(now)
        for started in ledger.take_wake():
            _push(events, ledger, started, now, lasts)
    return None


def _push(
    events: list[_Event],
    ledger: Ledger,
    run_id: str,
    now: float,
    lasts: Callable[[str], float],
) -> None:
    if holder := ledger.holders.get(run_id):
        heappush(events, (now + lasts(holder.request.demand.task_id), _END, run_id))
