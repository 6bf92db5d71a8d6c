"""When a waiting run is likely to start: its tenant's ledger, played forward."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from domain.admission import Ledger
from domain.ledger_state import LedgerState, ledger_of

MOST_ENDS = 20_000
"""Runs that end before it: further ahead, nobody can tell."""
OVERDUE = 1.0
"""Seconds that a run is given which is under way for longer than its task's runs usually are."""


def expected_start(
    state: LedgerState, run_id: str, lasts: Callable[[str], float], now: float
) -> float | None:
    """When a run starts (seconds since 1970) if every run of a task takes `lasts(task_id)` seconds.

    None for a run that does not wait, that will not be admitted before its deadline, or that waits
    behind more than `MOST_ENDS` others.
    """
    ledger = ledger_of(state)
    ledger.settle(now)
    ends = [
        (max(holder.since + lasts(holder.request.demand.task_id), now + OVERDUE), holder_id)
        for holder_id, holder in ledger.holders.items()
    ]
    heapify(ends)
    ledger.take_wake()
    for _ in range(MOST_ENDS):
        if run_id in ledger.holders:
            return now
        if not ends or run_id not in ledger.waiting:
            return None
        now, ended = heappop(ends)
        ledger.release(ended, now)
        for started in ledger.take_wake():
            _push(ends, ledger, started, now, lasts)
    return None


def _push(
    ends: list[tuple[float, str]],
    ledger: Ledger,
    run_id: str,
    now: float,
    lasts: Callable[[str], float],
) -> None:
    if holder := ledger.holders.get(run_id):
        heappush(ends, (now + lasts(holder.request.demand.task_id), run_id))
