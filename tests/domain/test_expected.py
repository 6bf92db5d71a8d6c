"""When a waiting run is likely to start: the ledger, really played forward."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import expected as module
from domain.admission import Ledger
from domain.decisions import Request
from domain.expected import OVERDUE, expected_start
from domain.ledger_state import ledger_of, state_of
from domain.limits import CONCURRENT, Demand, TenantLimits
from domain.task import Overlap

FAR = 10_000.0
GPUS = TenantLimits(resources={"gpu": 3})


def of(task: str, gpus: int = 0, *groups: str, priority: int = 3) -> Demand:
    """What a task's runs need."""
    units = [(CONCURRENT, 1)]
    units += [("resource:gpu", gpus)] if gpus else []
    units += [(f"mutex:{group}", 1) for group in groups]
    return Demand(task, tuple(units), Overlap.ALLOW, priority)


def ledger_with(
    *asks: tuple[str, Demand, float], limits: TenantLimits = GPUS, until: float = FAR
) -> Ledger:
    """One that these (run, demand, when) asked, in order, to wait until an instant."""
    ledger = Ledger(limits)
    for run_id, demand, at in asks:
        ledger.decide(Request(run_id, demand, at, until), at)
    return ledger


def ten(_: str) -> float:
    """Every run takes ten seconds."""
    return 10.0


def test_each_waits_for_those_before_it() -> None:
    """One after the other through a mutex group."""
    asks = [(f"run-{n}", of(f"t{n}", 0, "x"), float(n)) for n in range(4)]
    state = state_of(ledger_with(*asks))
    assert [expected_start(state, f"run-{n}", ten, 5.0) for n in range(1, 4)] == [10, 20, 30]


@pytest.mark.parametrize("run_id", ["holder", "unknown"])
def test_only_a_run_that_waits_is_expected(run_id: str) -> None:
    """Of others there is nothing to say."""
    state = state_of(ledger_with(("holder", of("a", 1), 0.0)))
    assert expected_start(state, run_id, ten, 1.0) is None


def test_a_holder_that_is_overdue_may_end_any_moment() -> None:
    """It has been under way for longer than usual; nothing better is known."""
    asks = [("first", of("a", 0, "x"), 0.0), ("second", of("b", 0, "x"), 1.0)]
    assert expected_start(state_of(ledger_with(*asks)), "second", ten, 500.0) == 500 + OVERDUE


def test_one_that_gives_up_first_has_no_start() -> None:
    """Its deadline comes before its turn."""
    asks = [("first", of("a", 0, "x"), 0.0), ("second", of("b", 0, "x"), 1.0)]
    assert expected_start(state_of(ledger_with(*asks, until=9.0)), "second", ten, 2.0) is None


def test_one_kept_behind_another_goes_when_that_gives_up() -> None:
    """What is reserved for a large request is free again at its deadline, not at the next end."""
    ledger = ledger_with(("holder", of("a", 1), 0.0))
    ledger.decide(Request("large", of("b", 3), 1.0, 4.0), 1.0)
    ledger.decide(Request("small", of("c", 1), 2.0, FAR), 2.0)
    assert expected_start(state_of(ledger), "small", ten, 3.0) == 4.0


def test_too_far_ahead_nobody_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that it takes is bounded."""
    monkeypatch.setattr(module, "MOST_EVENTS", 5)
    asks = [(f"run-{n}", of("a", 0, "x"), float(n)) for n in range(20)]
    state = state_of(ledger_with(*asks))
    assert expected_start(state, "run-4", ten, 19.0) is not None
    assert expected_start(state, "run-19", ten, 19.0) is None


@dataclass(frozen=True)
class Ask:
    """A request to come."""

    after: int
    demand: Demand
    patience: int


demands = st.sampled_from(
    [
        of("a", 0, "x"),
        of("b", 1),
        of("c", 3, priority=1),
        of("d", 2, "x", "y"),
        of("e", 0, "y", priority=5),
        of("f"),
    ]
)
asks = st.lists(
    st.builds(Ask, st.integers(0, 5), demands, st.integers(1, 80)), min_size=1, max_size=12
)
lengths = st.fixed_dictionaries({name: st.integers(1, 30).map(float) for name in "abcdef"})


@given(asks, lengths, st.none() | st.integers(1, 3), st.integers(0, 10))
def test_it_is_what_really_happens_when_runs_take_that_long(
    coming: list[Ask], lasts: dict[str, float], most: int | None, later: int
) -> None:
    """Second by second: runs end, others give up, and whoever can go goes."""
    ledger = Ledger(GPUS.model_copy(update={"max_concurrent": most}))
    now = 0.0
    for number, ask in enumerate(coming):
        now += ask.after
        request = Request(f"run-{number:02}", ask.demand, now, now + ask.patience)
        ledger.decide(request, now)
    now += later
    state = state_of(ledger)
    told = {run: expected_start(state, run, lasts.__getitem__, now) for run in ledger.waiting}

    started = _played(ledger_of(state), lasts, now)

    assert told == {run: started.get(run) for run in told}


def _played(ledger: Ledger, lasts: dict[str, float], now: float) -> dict[str, float]:
    """When each run started, until nobody waits any more."""
    ledger.settle(now)
    ends = {
        run: max(holder.since + lasts[holder.request.demand.task_id], now + OVERDUE)
        for run, holder in ledger.holders.items()
    }
    started = {run: now for run, holder in ledger.holders.items() if holder.since == now}
    while ledger.waiting:
        now += 1.0
        for run in sorted(run for run, end in ends.items() if end == now):
            ledger.release(run, now)
        ledger.settle(now)
        for run, holder in ledger.holders.items():
            if run not in ends:
                started[run] = now
                ends[run] = now + lasts[holder.request.demand.task_id]
    return started
