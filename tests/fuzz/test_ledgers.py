"""A ledger whose governor is lost now and then, beside all else that happens to one.

What holds of it anyway is in `tests/domain/test_admission_properties.py`.
"""

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from domain.admission import Ledger
from domain.decisions import Holder
from domain.ledger_state import ledger_of, state_of
from domain.limits import impossible
from tests.domain.naive_ledger import NaiveHolder, NaiveLedger
from tests.domain.test_admission_properties import LedgerMachine
from tests.fuzz.effort import effort


class LostLedgerMachine(LedgerMachine):
    """The same ledger and the naive one; a new ledger knows what live runs say, and no more."""

    @rule(forgets=st.sets(st.integers(0, 39), max_size=3), fences=st.integers(0, 5))
    def lose(self, forgets: set[int], fences: int) -> None:
        """The governor is lost, and some of its runs with it; the next one asks the others.

        A run that knows of its grant still holds it. One that waits, or does not know of its grant,
        asks again. Nobody remembers refusals, warnings and who was to be stopped.
        """
        gone = {f"run-{number:02}" for number in forgets}
        before, limits = self.ledger, self.ledger.limits
        live = {run: holder for run, holder in before.holders.items() if run not in gone}
        held = {run: live[run] for run in sorted(live) if live[run].confirmed}
        asking = {run: request for run, request in before.waiting.items() if run not in gone}
        asking |= {run: live[run].request for run in live if run not in held}
        ledger = Ledger(limits, fence=before.fence + fences)
        for run, holder in held.items():
            ledger.take_up(Holder(holder.request, holder.fence, self.now))
            ledger.take_up(asking.get(run, holder.request))  # said twice, it is held once
        self.ledger = ledger_of(state_of(ledger))
        self.naive = NaiveLedger(limits, ledger.fence, settled_at=self.now)
        self.naive.holders = {
            run: NaiveHolder(holder.request, holder.fence, dict(holder.request.demand.units))
            for run, holder in held.items()
        }
        self.withdrawn = 0
        for runs in (self.asked, self.queued, self.woken):
            runs.intersection_update(held.keys() | asking.keys())
        self.requests = {run: self.requests[run] for run in held.keys() | asking.keys()}
        self.stopped = set()
        self.most = dict(self.ledger.used)  # of who was warned, nobody knows any more
        self._decide([asking[run] for run in sorted(asking)])

    @invariant()
    def grows_its_fences(self) -> None:
        """No two grants have the same fence, and none that comes has an older one."""
        fences = [holder.fence for holder in self.ledger.holders.values()]
        assert len(fences) == len(set(fences))
        assert max(fences, default=0) <= self.ledger.fence
        assert self.fence <= self.ledger.fence
        self.fence = self.ledger.fence

    @invariant()
    def leaves_nobody_waiting_for_nothing(self) -> None:
        """Who waits could go some day, and while nobody holds anything nobody waits."""
        ledger = self.ledger
        assert not any(impossible(run.demand, ledger.limits) for run in ledger.waiting.values())
        assert ledger.holders or not ledger.waiting

    @invariant()
    def answers_alike_after_a_move(self) -> None:
        """Its text is another ledger that tells everybody the same, word for word."""
        twin = ledger_of(state_of(self.ledger))
        for run in self.asked:
            assert twin.explain(run) == self.ledger.explain(run)


TestLostLedger = LostLedgerMachine.TestCase
TestLostLedger.settings = effort(4)
