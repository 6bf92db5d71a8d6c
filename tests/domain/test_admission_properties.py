"""What holds of a ledger whatever comes: quotas, order, conservation, and that nobody starves."""

from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.admission import Ledger
from domain.decisions import AGEING, Granted, Queued, Refused, Request
from domain.ledger_state import pack_ledger, state_of, unpack_ledger
from domain.limits import Demand, OnConflict, TenantLimits, limit_of
from domain.task import Overlap
from tests.domain.naive_ledger import NaiveLedger, told

_TASKS = ("load", "report", "sync")
_RUNS = [f"run-{number:02}" for number in range(40)]
_RULES: tuple[OnConflict, ...] = ("queue", "queue", "queue", "skip", "fail", "warn")


@st.composite
def _demands(draw: st.DrawFn) -> Demand:
    task, overlap = draw(st.sampled_from(_TASKS)), draw(st.sampled_from(Overlap))
    units = {"concurrent": 1}
    units |= draw(
        st.dictionaries(
            st.sampled_from(("resource:gpu", "resource:disk")), st.integers(1, 4), max_size=2
        )
    )
    units |= dict.fromkeys(draw(st.sets(st.sampled_from(("mutex:a", "mutex:b")))), 1)
    if overlap in (Overlap.QUEUE, Overlap.CANCEL_RUNNING):
        units[f"overlap:{task}"] = 1
    priority, on_conflict = draw(st.integers(1, 5)), draw(st.sampled_from(_RULES))
    return Demand(task, tuple(units.items()), overlap, priority, on_conflict)


_limits = st.builds(
    TenantLimits,
    max_concurrent=st.none() | st.integers(1, 5),
    resources=st.dictionaries(st.sampled_from(("gpu", "disk")), st.integers(1, 6), max_size=2),
    mutex_groups=st.dictionaries(st.sampled_from(("a", "b")), st.integers(1, 2), max_size=2),
)
_asks = st.tuples(
    st.sampled_from(_RUNS), _demands(), st.integers(0, 90), st.sampled_from((20, 200, 10**6))
)


class LedgerMachine(RuleBasedStateMachine):
    """A ledger and the naive one, told the same; what was told to whom is remembered here."""

    @initialize(limits=_limits)
    def begin(self, limits: TenantLimits) -> None:
        """A tenant without runs."""
        self.ledger, self.naive = Ledger(limits), NaiveLedger(limits)
        self.now = 1000.0
        self.requests: dict[str, Request] = {}
        self.asked: set[str] = set()
        self.queued: set[str] = set()
        self.woken: set[str] = set()
        self.stopped: set[tuple[str, str]] = set()
        self.withdrawn = 0
        self.fence = 0
        self.most: dict[str, int] = {}

    @rule(asks=st.lists(_asks, min_size=1, max_size=5))
    def ask(self, asks: list[tuple[str, Demand, int, int]]) -> None:
        """Runs ask together: new ones, and ones that asked before, in any order."""
        batch = []
        for run_id, demand, ago, patience in asks:
            at = self.now - ago
            request = Request(run_id, demand, at, at + patience)
            batch.append(self.requests.setdefault(run_id, request))
        self._decide(batch)

    @rule(again=st.booleans(), of=st.randoms(use_true_random=False))
    def ask_again(self, again: bool, of: Any) -> None:
        """Whoever holds or waits may ask again, alone or twice in a batch: it changes nothing."""
        known = sorted(self.ledger.holders.keys() | self.ledger.waiting.keys())
        if known:
            request = self.requests[of.choice(known)]
            before = self._standing()
            self._decide([request, request] if again else [request])
            assert self._standing() == before

    @rule(of=st.randoms(use_true_random=False))
    def end(self, of: Any) -> None:
        """A run that holds ends."""
        if self.ledger.holders:
            self._release(of.choice(sorted(self.ledger.holders)))

    @rule(run_id=st.sampled_from(_RUNS))
    def give_up(self, run_id: str) -> None:
        """Some run says that it has ended, whatever it was doing; perhaps nobody knows it."""
        self._release(run_id)

    @rule(limits=_limits)
    def change_limits(self, limits: TenantLimits) -> None:
        """Other limits; what is held stays held."""
        self.most = dict(self.ledger.used)
        self.ledger.set_limits(limits, self.now)
        self.naive.set_limits(limits, self.now)

    @rule(seconds=st.sampled_from((1, 10, 60, 300)))
    def pass_time(self, seconds: int) -> None:
        """Time passes, and deadlines with it."""
        self.now += seconds
        self.ledger.settle(self.now)
        self.naive.settle(self.now)

    @rule()
    def move(self) -> None:
        """The ledger goes on as another one, from its text: nobody can tell."""
        before = state_of(self.ledger)
        self.ledger = unpack_ledger(pack_ledger(self.ledger))
        assert state_of(self.ledger) == before

    @rule()
    def collect(self) -> None:
        """The messages of the ledger are taken from it."""
        self.woken.update(self.ledger.take_wake())
        self.stopped.update(self.ledger.take_stop())
        assert not self.ledger.take_wake()
        assert not self.ledger.take_stop()

    def _decide(self, batch: list[Request]) -> None:
        fences = {run_id: holder.fence for run_id, holder in self.ledger.holders.items()}
        decisions = self.ledger.decide_all(batch, self.now)
        assert [told(d) for d in decisions] == self.naive.decide_all(batch, self.now)
        for request, decision in zip(batch, decisions, strict=True):
            run_id = request.run_id
            self.asked.add(run_id)
            self.queued.discard(run_id)
            self.woken.discard(run_id)
            match decision:
                case Granted(fence):
                    assert fence == fences.get(run_id, fence), "a holder keeps its fence"
                case Queued():
                    self.queued.add(run_id)
            if isinstance(decision, Refused):
                assert self.ledger.explain(run_id) in (decision, None)
            else:
                assert self.ledger.explain(run_id) == decision

    def _release(self, run_id: str) -> None:
        self.withdrawn += run_id in self.ledger.waiting
        known = self.ledger.explain(run_id) is not None
        assert self.ledger.release(run_id, self.now) is known
        assert self.ledger.release(run_id, self.now) is False
        self.naive.release(run_id, self.now)
        for told_before in (self.asked, self.queued, self.woken):
            told_before.discard(run_id)
        self.requests.pop(run_id, None)

    def _standing(self) -> tuple[Any, ...]:
        ledger = self.ledger
        holding = {run_id: holder.fence for run_id, holder in ledger.holders.items()}
        told_of = deepcopy(ledger.counters), list(ledger.conflicts), dict(ledger.refused)
        return holding, list(ledger.waiting), dict(ledger.used), ledger.fence, told_of

    @invariant()
    def uses_what_its_holders_hold(self) -> None:
        """Used is the sum of the holders, and above a limit only since the limit was lowered."""
        used: dict[str, int] = {}
        for holder in self.ledger.holders.values():
            for dimension, count in holder.units():
                used[dimension] = used.get(dimension, 0) + count
        assert {name: n for name, n in self.ledger.used.items() if n} == used
        for dimension, count in used.items():
            limit = limit_of(self.ledger.limits, dimension)
            assert limit is None or count <= max(limit, self.most.get(dimension, 0))
        self.most = {name: min(n, used.get(name, 0)) for name, n in self.most.items()}

    @invariant()
    def holds_all_or_nothing(self) -> None:
        """A holder counts for everything that it asked for, but for what it was warned of."""
        for holder in self.ledger.holders.values():
            left_out = {name for name, _ in holder.request.demand.units} - dict(
                holder.units()
            ).keys()
            assert left_out == set(holder.without)
            assert not left_out or holder.request.demand.on_conflict == "warn"

    @invariant()
    def loses_nobody(self) -> None:
        """Who asked holds, or waits, or was refused, or has ended: one of them."""
        ledger = self.ledger
        known = [*ledger.holders, *ledger.waiting, *ledger.refused]
        assert len(known) == len(set(known))
        assert set(known) <= self.asked
        done = ledger.counters
        assert done.attempts == (
            done.granted + done.refused + done.timed_out + len(ledger.waiting) + self.withdrawn
        )

    @invariant()
    def is_as_the_naive_one(self) -> None:
        """The same runs hold, wait, and are to be stopped, under the same fences."""
        ledger, naive = self.ledger, self.naive
        assert ledger.waiting == naive.waiting
        assert ledger.refused.keys() == naive.refused.keys()
        assert {run: (h.fence, h.stopped_by) for run, h in ledger.holders.items()} == {
            run: (holder.fence, holder.stopped_by) for run, holder in naive.holders.items()
        }
        for run_id in self.asked:
            assert told(ledger.explain(run_id)) == naive.explain(run_id)

    @invariant()
    def grows_its_fences(self) -> None:
        """No two grants have the same fence, and the last has the greatest."""
        fences = [holder.fence for holder in self.ledger.holders.values()]
        assert fences == sorted(set(fences))
        assert max(fences, default=0) <= self.ledger.fence
        assert self.fence <= self.ledger.fence
        self.fence = self.ledger.fence

    @invariant()
    def names_what_blocks(self) -> None:
        """Each waiting run has a blocker, and each blocker names a run that holds or is before."""
        ledger = self.ledger
        for run_id, request in ledger.waiting.items():
            decision = ledger.explain(run_id)
            assert isinstance(decision, Queued)
            assert decision.blockers
            for blocker in decision.blockers:
                assert any(run in blocker.sentence() for run in blocker.runs)
                full = blocker.used + blocker.wanted > blocker.limit
                for run in blocker.runs:
                    if full:
                        assert blocker.dimension in dict(ledger.holders[run].units())
                    else:
                        assert ledger.waiting[run].key < request.key

    @invariant()
    def tells_whom_it_must(self) -> None:
        """Whose answer has changed is woken, and whom a newer run replaces is stopped."""
        copy = deepcopy(self.ledger)
        woken, stopped = self.woken.union(copy.take_wake()), self.stopped.union(copy.take_stop())
        assert {
            run for run in self.queued if not isinstance(self.ledger.explain(run), Queued)
        } <= woken
        holders = self.ledger.holders.items()
        assert {(run, holder.stopped_by) for run, holder in holders if holder.stopped_by} <= stopped

    def teardown(self) -> None:
        """When everybody ends, everybody who waited was admitted."""
        while self.ledger.holders:
            self._release(next(iter(self.ledger.holders)))
            self.is_as_the_naive_one()
        assert not self.ledger.waiting
        assert not any(self.ledger.used.values())


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def _demand(task: str, priority: int, **resources: int) -> Demand:
    units = {"concurrent": 1} | {f"resource:{name}": count for name, count in resources.items()}
    return Demand(task, tuple(units.items()), priority=priority)


@settings(max_examples=25, deadline=None)
@given(
    large=st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 5), st.integers(1, 8)), min_size=1, max_size=4
    ),
    small=st.lists(st.integers(1, 15), min_size=5, max_size=20),
    rate=st.integers(1, 4),
)
def test_no_request_starves(large: list[tuple[int, int, int]], small: list[int], rate: int) -> None:
    """Large requests are admitted while small ones of the best priority keep coming, more than fit.

    After four levels of priority nobody who comes can be before them; then only those are waited
    for that came earlier, and each of those holds for a limited time.
    """
    ledger = Ledger(TenantLimits(max_concurrent=8, resources={"gpu": 8}))
    end = round(4 * AGEING) + 20 + 15 * (len(large) + 1) + rate * 20 * 15
    ends: dict[int, list[str]] = {}
    hold: dict[str, int] = {}
    wanted = {f"large-{number}" for number in range(len(large))}
    admitted: set[str] = set()
    for second in range(end):
        for run_id in ends.pop(second, []):
            ledger.release(run_id, float(second))
        asks = [
            Request(f"large-{number}", _demand("l", priority, gpu=gpu), float(second), 1e9)
            for number, (at, priority, gpu) in enumerate(large)
            if at == second
        ]
        for number in range(rate):
            run_id = f"small-{second}-{number}"
            hold[run_id] = small[(second + number) % len(small)]
            asks.append(Request(run_id, _demand("s", 1, gpu=1), float(second), 1e9))
        ledger.decide_all(asks, float(second))
        for run_id in ledger.take_wake() + [ask.run_id for ask in asks]:
            if run_id in ledger.holders and run_id not in admitted:
                admitted.add(run_id)
                ends.setdefault(second + hold.get(run_id, 15), []).append(run_id)
        if wanted <= admitted:
            return
    raise AssertionError(f"{sorted(wanted - admitted)} were never admitted")


@settings(max_examples=50, deadline=None)
@given(
    asks=st.lists(_asks, min_size=1, max_size=30, unique_by=lambda ask: ask[0]),
    limits=_limits,
    at_once=st.booleans(),
)
def test_settling_twice_admits_nobody_else(
    asks: list[tuple[str, Demand, int, int]], limits: TenantLimits, at_once: bool
) -> None:
    """One pass over the queue finds everybody who can go."""
    requests = [
        Request(run_id, demand, 100.0 - ago, 1e6) for run_id, demand, ago, _patience in asks
    ]
    ledger = Ledger(limits)
    for batch in [requests] if at_once else [[request] for request in requests]:
        ledger.decide_all(batch, 100.0)
    before = list(ledger.holders)
    ledger.settle(100.0)
    assert list(ledger.holders) == before
