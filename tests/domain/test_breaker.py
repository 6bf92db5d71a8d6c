"""A plugin's circuit: a table of what opens it, and what holds whatever happens."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.breaker import (
    FIRST_OPEN_S,
    INCIDENT_S,
    LEASE_S,
    LONGEST_OPEN_S,
    LONGEST_PROBE_S,
    Circuit,
    pack_circuit,
    unpack_circuit,
)
from domain.incidents import notice_of, order_of
from domain.outcomes import (
    BreakerAnswer,
    BreakerExchange,
    CircuitState,
    Outcome,
    ProbeEnd,
    is_failure,
)

T = 1_795_000_000.0
CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


class Teller:
    """One worker process that tells a circuit things."""

    def __init__(self, circuit: Circuit, worker: str = "w1") -> None:
        self.circuit, self.worker, self.sequence = circuit, worker, 0

    def tell(self, now: float, *outcomes: Outcome, **fields: Any) -> BreakerAnswer:
        """The next exchange."""
        self.sequence += 1
        request = BreakerExchange(
            worker=self.worker, sequence=self.sequence, outcomes=list(outcomes), **fields
        )
        return self.circuit.take(request, now)


def calls(tenant_id: str, failures: int = 0, successes: int = 0, ago_s: float = 0.0) -> Outcome:
    """Calls that ended."""
    return Outcome(
        tenant_id=tenant_id,
        failures=failures,
        successes=successes,
        codes=["PLUGIN_UNAVAILABLE"],
        ago_s=ago_s,
    )


def opened(now: float = T) -> tuple[Circuit, Teller]:
    """A circuit that has just opened."""
    circuit = Circuit("p")
    teller = Teller(circuit)
    assert teller.tell(now, calls("a", 6), calls("b", 6)).opened
    return circuit, teller


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        (None, False),
        ("PLUGIN_UNAVAILABLE", True),
        ("PLUGIN_TIMEOUT", True),
        ("PLUGIN_BAD_ANSWER", True),
        ("PLUGIN_REFUSED", False),
        ("PLUGIN_THROTTLED", False),
        ("PLUGIN_FAILED", False),
        ("NO_STOCK", False),
    ],
)
def test_only_a_plugin_that_does_not_answer_is_not_well(code: str | None, counts: bool) -> None:
    """Whoever answers, whatever it is, is there."""
    assert is_failure(code) is counts


@pytest.mark.parametrize(
    ("outcomes", "opens"),
    [
        ([calls("a", 5), calls("b", 5)], True),
        ([calls("a", 5), calls("b", 4)], False),
        ([calls("a", 10)], True),
        ([calls("a", 10), calls("b", 0, 1)], False),
        ([calls("a", 9), calls("b", 1)], True),
        ([calls("a", 9), calls("b", 1, 10)], True),
        ([calls("a", 9), calls("b", 1, 11)], False),
        ([calls("a", 10, 11)], False),
        ([calls("a", 500), calls("b", 0, 10)], False),
        ([calls("a", 5), calls("b", 5, ago_s=59)], True),
        ([calls("a", 5), calls("b", 5, ago_s=61)], False),
        ([calls("a", 10), calls("b", 0, 9, ago_s=61)], True),
        ([], False),
    ],
)
def test_what_opens_a_circuit(outcomes: list[Outcome], opens: bool) -> None:
    """Ten failures in a minute, half of all calls, and of all who call."""
    circuit = Circuit("p")
    answer = Teller(circuit).tell(T, *outcomes)
    assert answer.opened is opens
    assert circuit.state is (OPEN if opens else CLOSED)


def test_failures_of_a_minute_add_up_over_workers_and_are_then_forgotten() -> None:
    """The window moves."""
    circuit = Circuit("p")
    first, second = Teller(circuit), Teller(circuit, "w2")
    first.tell(T, calls("a", 5))
    assert circuit.brief(T).counting_until == T + 60
    assert not second.tell(T + 61, calls("b", 5)).opened
    assert second.tell(T + 62, calls("a", 5)).opened


def test_it_says_why_it_opened() -> None:
    """In a sentence, without a name of another tenant."""
    circuit, _ = opened()
    assert circuit.brief(T).reason == (
        "12 of 12 calls within 60 s failed (PLUGIN_UNAVAILABLE), for 2 tenants"
    )


def test_a_batch_that_is_sent_again_counts_once() -> None:
    """And its question is answered as before."""
    circuit = Circuit("p")
    batch = BreakerExchange(worker="w", sequence=1, outcomes=[calls("a", 6)], asks="r#1")
    for _ in range(5):
        assert not circuit.take(batch, T).opened
    assert circuit.view(T).failures == 6


def test_a_probe_is_granted_when_it_is_time_and_to_one() -> None:
    """Asking again, the same one is told the same."""
    circuit, teller = opened()
    assert not teller.tell(T + 9, asks="r#1").granted
    assert teller.tell(T + 10, asks="r#1").granted
    assert circuit.state is HALF_OPEN
    assert teller.tell(T + 11, asks="r#1").granted
    waits = Teller(circuit, "w2").tell(T + 12, asks="s#1")
    assert not waits.granted
    assert waits.circuit.retry_at is not None
    assert waits.circuit.retry_at >= T + 14


def test_each_failed_probe_doubles_the_pause_up_to_five_minutes() -> None:
    """10, 20, 40, 80, 160, 300, 300 seconds."""
    circuit, teller = opened()
    now, pauses = T, []
    for number in range(7):
        retry_at = circuit.brief(now).retry_at
        assert retry_at
        pauses.append(retry_at - now)
        now = retry_at
        assert teller.tell(now, asks=f"r#{number}").granted
        teller.tell(now + 1, ended=[ProbeEnd(key=f"r#{number}", ok=False)])
        assert circuit.state is OPEN
        now += 1
    assert pauses == [FIRST_OPEN_S, 20, 40, 80, 160, LONGEST_OPEN_S, LONGEST_OPEN_S]


def test_a_probe_that_goes_well_closes_and_what_was_before_is_forgotten() -> None:
    """The failures of before open nothing, also those that are told late."""
    circuit, teller = opened()
    teller.tell(T + 10, asks="r#1")
    teller.tell(T + 12, ended=[ProbeEnd(key="r#1", ok=True)])
    assert circuit.state is CLOSED
    assert circuit.brief(T + 12).retry_at is None
    assert not teller.tell(T + 13, calls("a", 50, ago_s=5), calls("b", 50, ago_s=5)).opened


def test_a_dead_probe_blocks_for_the_length_of_its_lease() -> None:
    """Its worker does not renew it, and the next to ask goes."""
    circuit, teller = opened()
    teller.tell(T + 10, asks="r#1")
    other = Teller(circuit, "w2")
    assert not other.tell(T + 9 + LEASE_S, asks="s#1").granted
    assert other.tell(T + 10 + LEASE_S, asks="s#1").granted
    # What the first says of itself after all: a failure is old news, a success is not.
    teller.tell(T + 11 + LEASE_S, ended=[ProbeEnd(key="r#1", ok=False)])
    assert circuit.state is HALF_OPEN


def test_a_late_probe_that_went_well_is_believed() -> None:
    """A call that began after the opening went well: the plugin is."""
    circuit, teller = opened()
    teller.tell(T + 10, asks="r#1")
    Teller(circuit, "w2").tell(T + 10 + LEASE_S, asks="s#1")
    teller.tell(T + 11 + LEASE_S, ended=[ProbeEnd(key="r#1", ok=True)])
    assert circuit.state is CLOSED


def test_a_long_probe_is_held_and_not_for_ever() -> None:
    """Its worker lives; but nobody waits for hours behind one call."""
    circuit, teller = opened()
    start = T + 10
    teller.tell(start, asks="r#1")
    for after in range(10, int(LONGEST_PROBE_S), 10):
        assert not Teller(circuit, "w2").tell(start + after, asks="s#1").granted
        teller.tell(start + after, holds=["r#1"])
    for after in range(int(LONGEST_PROBE_S), int(LONGEST_PROBE_S + 2 * LEASE_S), 10):
        teller.tell(start + after, holds=["r#1"])
    assert Teller(circuit, "w2").tell(start + LONGEST_PROBE_S + LEASE_S, asks="s#1").granted


def test_a_probe_that_is_given_back_goes_to_the_next() -> None:
    """It was cancelled before it said anything."""
    circuit, teller = opened()
    teller.tell(T + 10, asks="r#1")
    teller.tell(T + 11, ended=[ProbeEnd(key="r#1", ok=None)])
    assert circuit.state is HALF_OPEN
    assert teller.tell(T + 11, asks="s#1").granted


def test_an_opening_soon_after_belongs_to_the_same_incident() -> None:
    """A plugin that comes and goes is one work order."""
    circuit, teller = opened()
    order = order_of("p", T)
    teller.tell(T + 10, asks="r#1")
    teller.tell(T + 11, ended=[ProbeEnd(key="r#1", ok=True)])
    assert teller.tell(T + 20, calls("a", 10), calls("b", 1)).opened
    assert circuit.opened_at == T
    assert circuit.brief(T + 20).since == T + 20
    teller.tell(T + 30, asks="r#2")
    teller.tell(T + 31, ended=[ProbeEnd(key="r#2", ok=True)])
    later = T + 31 + INCIDENT_S
    assert teller.tell(later, calls("a", 10), calls("b", 1)).opened
    assert circuit.opened_at == later
    assert order_of("p", later) != order


def test_the_notice_has_the_cause_and_examples() -> None:
    """All that a person needs to begin with."""
    circuit, _ = opened()
    notice = notice_of(circuit, T)
    assert notice.breach.breach_id == f"breaker/p/{T:.0f}"
    assert (notice.breach.tenant_id, notice.breach.task_id) == ("platform", "p")
    assert notice.breach.severity == "critical"
    assert notice.work_order
    assert notice.work_order.error_code == "PLUGIN_UNAVAILABLE"
    assert "12 of 12 calls" in notice.work_order.cause
    assert [a.message for a in notice.work_order.attempts] == [
        "a call for the tenant a",
        "a call for the tenant b",
    ]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 200), st.floats(0, 100)), max_size=50)
)
def test_a_history_of_successes_never_opens(told: list[tuple[str, int, float]]) -> None:
    """Whatever their number, tenants and times."""
    circuit, now = Circuit("p"), T
    teller = Teller(circuit)
    for tenant, successes, later in told:
        now += later
        answer = teller.tell(now, calls(tenant, 0, successes), asks="r#1")
        assert not answer.opened
        assert not answer.granted
        assert answer.circuit.state is CLOSED


class Lives(RuleBasedStateMachine):
    """Workers that tell, ask, die, are late and repeat themselves, as time goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T
        self.circuit = Circuit("p", since=T, heard_at=T, changed_at=T)
        self.tellers = {name: Teller(self.circuit, name) for name in ("w1", "w2", "w3")}
        self.last: dict[str, BreakerExchange] = {}
        self.leases: dict[str, float] = {}
        self.asked = 0

    def _take(self, worker: str, **fields: Any) -> BreakerAnswer:
        teller = self.tellers[worker]
        teller.sequence += 1
        request = BreakerExchange(worker=worker, sequence=teller.sequence, **fields)
        self.last[worker] = request
        return self._send(request)

    def _send(self, request: BreakerExchange) -> BreakerAnswer:
        twin = unpack_circuit(pack_circuit(self.circuit))
        answer = self.circuit.take(request, self.now)
        assert twin.take(request, self.now) == answer  # the same after continue-as-new
        assert twin == self.circuit
        if answer.granted:
            assert request.asks
            others = {key for key, until in self.leases.items() if self.now < until}
            assert others <= {request.asks}  # never two probes at once
            self.leases[request.asks] = self.now + LEASE_S
        return answer

    @rule(seconds=st.floats(0, 400))
    def time_goes_by(self, seconds: float) -> None:
        """Nothing happens by itself."""
        before = self.circuit.state
        self.now += seconds
        assert self.circuit.state is before

    @rule(
        worker=st.sampled_from(["w1", "w2", "w3"]),
        tenant=st.sampled_from("ab"),
        failures=st.integers(0, 12),
        successes=st.integers(0, 12),
        ago=st.floats(0, 90),
    )
    def tell(self, worker: str, tenant: str, failures: int, successes: int, ago: float) -> None:
        """A batch."""
        self._take(worker, outcomes=[calls(tenant, failures, successes, ago)])

    @rule(worker=st.sampled_from(["w1", "w2", "w3"]))
    def ask(self, worker: str) -> None:
        """An attempt that would like to go."""
        self.asked += 1
        state, retry_at = self.circuit.state, self.circuit.retry_at
        granted = self._take(worker, asks=f"run#{self.asked}").granted
        if state is CLOSED or (state is OPEN and self.now < retry_at):
            assert not granted

    @rule(worker=st.sampled_from(["w1", "w2", "w3"]), ok=st.sampled_from([True, False, None]))
    def end(self, worker: str, ok: bool | None) -> None:
        """The newest probe is over, or its lease was."""
        if not self.leases:
            return
        key = list(self.leases)[-1]
        del self.leases[key]
        self._take(worker, ended=[ProbeEnd(key=key, ok=ok)])

    @rule(worker=st.sampled_from(["w1", "w2", "w3"]))
    def hold(self, worker: str) -> None:
        """Workers that live renew; one whose lease is over gets none by it."""
        held = [key for key, until in self.leases.items() if self.now < until]
        self._take(worker, holds=list(self.leases))
        for key in held:
            self.leases[key] = self.circuit.probes[key].until

    @precondition(lambda self: self.last)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        """A batch whose answer was lost is sent again, and changes nothing."""
        request = self.last[data.draw(st.sampled_from(sorted(self.last)))]
        before = self.circuit.view(self.now)
        held = dict(self.leases)
        answer = self._send(request)
        after = self.circuit.view(self.now)
        assert (after.successes, after.failures) == (before.successes, before.failures)
        assert after.incident_failures == before.incident_failures
        assert not answer.opened
        for key in request.holds:
            if key in held and key in self.circuit.probes:
                self.leases[key] = max(held[key], self.circuit.probes[key].until)

    @invariant()
    def one_probe_at_most(self) -> None:
        """By the circuit's own books too."""
        live = [p for p in self.circuit.probes.values() if self.now < p.until]
        assert len(live) <= 1
        assert not (live and self.circuit.state is not HALF_OPEN)

    @invariant()
    def it_can_always_be_closed(self) -> None:
        """Whatever happened: wait, ask, go well."""
        twin = unpack_circuit(pack_circuit(self.circuit))
        if twin.state is CLOSED:
            return
        teller = Teller(twin, "the one who closes it")
        later = max(self.now, twin.retry_at) + LONGEST_PROBE_S + 2 * LEASE_S
        assert teller.tell(later, asks="last#1").granted
        teller.tell(later, ended=[ProbeEnd(key="last#1", ok=True)])
        assert twin.state is CLOSED


Lives.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestLives = Lives.TestCase
