"""A plugin's circuit: closed while its calls go well, open while they fail for everybody.

Pure: time is an argument, in seconds since 1970.

1. It opens when at least `LEAST_FAILURES` calls of the last `WINDOW_S` seconds failed, at least
   half of all calls did, and they are of two tenants, or of the only one that called.
2. It stays open for `FIRST_OPEN_S`, and twice as long after each probe that failed. Then one
   attempt is granted to be the probe, and it is half open.
3. There is one probe at a time. Its worker renews its lease while it lasts: a worker that died
   does not, and the next to ask is the probe.
4. A probe that succeeds closes it, also a late one; one that fails opens it again.
5. An opening soon after it was closed belongs to the same incident.

What is told twice counts once: by the sequence of the worker that tells it.
"""

from dataclasses import dataclass, field
from math import floor

from pydantic import TypeAdapter

from domain.outcomes import (
    BreakerAnswer,
    BreakerExchange,
    BreakerView,
    CircuitBrief,
    CircuitState,
    FailureSample,
    Outcome,
)
from domain.packing import pack, unpack

WINDOW_S = 60.0
LEAST_FAILURES = 10
COUNTING_FROM = LEAST_FAILURES // 2
"""Failures after which the successes of all workers are of interest."""
FIRST_OPEN_S = 10.0
LONGEST_OPEN_S = 300.0
LEASE_S = 30.0
LONGEST_PROBE_S = 300.0
"""A call may take hours: after this another attempt may be the probe."""
PROBE_WAIT_S = (2.0, 30.0)
"""Others wait as long as the probe has lasted, within these, and look again."""
INCIDENT_S = 600.0
IDLE_S = 600.0
"""A closed circuit that nobody told of anything is forgotten after this."""
FORGOTTEN_S = 3600.0
"""One that is not closed, and that nobody wants to pass: the next to come has to try anyway."""
MOST_WORKERS = 1000
MOST_PROBES = 20
MOST_SAMPLES = 5


@dataclass(slots=True)
class Probe:
    """A granted attempt: since when, and until when its worker is believed to live."""

    since: float
    until: float


@dataclass(slots=True)
class Bucket:
    """The calls of one second."""

    successes: int = 0
    failures: int = 0


@dataclass(slots=True)
class Calls:
    """When a tenant's plugin calls ended last, and last failed."""

    called: float
    failed: float | None = None


@dataclass(slots=True)
class Told:
    """The last exchange of a worker."""

    sequence: int
    at: float


@dataclass(slots=True)
class Circuit:
    """The state of one plugin. Every method may be called twice; the second changes nothing."""

    plugin_id: str
    state: CircuitState = CircuitState.CLOSED
    since: float = 0.0
    retry_at: float = 0.0
    reason: str = ""
    failed_probes: int = 0
    open_since: float = 0.0
    opened_at: float | None = None
    closed_at: float | None = None
    incident_failures: int = 0
    probes: dict[str, Probe] = field(default_factory=dict)
    buckets: dict[int, Bucket] = field(default_factory=dict)
    tenants: dict[str, Calls] = field(default_factory=dict)
    samples: list[FailureSample] = field(default_factory=list)
    workers: dict[str, Told] = field(default_factory=dict)
    heard_at: float = 0.0
    changed_at: float = 0.0
    last_failure: float = 0.0
    told_of: float | None = None
    """The incident that people were told of: its `opened_at`."""

    def take(self, request: BreakerExchange, now: float) -> BreakerAnswer:
        """All that one worker has to say, and what it is answered."""
        self.heard_at = max(self.heard_at, now)
        known = self.workers.get(request.worker)
        opened = False
        if known is None or request.sequence > known.sequence:
            self._know(request.worker, request.sequence, now)
            for probe in request.ended:
                self._end(probe.key, probe.ok, now)
            opened = self._count(request.outcomes, now)
        for key in request.holds:
            self._hold(key, now)
        granted = request.asks is not None and self._grant(request.asks, now)
        return BreakerAnswer(circuit=self.brief(now), granted=granted, opened=opened)

    def probe(self, now: float) -> str | None:
        """The attempt that is the probe."""
        return next((key for key, probe in self.probes.items() if now < probe.until), None)

    def ends_at(self) -> float:
        """When the circuit may be forgotten, if nobody says anything until then."""
        closed = self.state is CircuitState.CLOSED
        return self.heard_at + (IDLE_S if closed else FORGOTTEN_S)

    def brief(self, now: float) -> CircuitBrief:
        """What workers have to know."""
        closed = self.state is CircuitState.CLOSED
        counts = self.failures(now) >= COUNTING_FROM
        return CircuitBrief(
            plugin_id=self.plugin_id,
            state=self.state,
            since=self.since if closed else self.open_since,
            retry_at=None if closed else self._retry_at(now),
            reason="" if closed else self.reason,
            counting_until=self.last_failure + WINDOW_S if closed and counts else 0.0,
            changed_at=self.changed_at,
        )

    def view(self, now: float) -> BreakerView:
        """What people want to know."""
        return BreakerView(
            circuit=self.brief(now),
            successes=sum(b.successes for s, b in self.buckets.items() if s > now - WINDOW_S),
            failures=self.failures(now),
            incident_failures=self.incident_failures,
            failed_probes=self.failed_probes,
            opened_at=self.opened_at,
            probe=self.probe(now),
            samples=list(self.samples),
        )

    def failures(self, now: float) -> int:
        """Those of the last `WINDOW_S` seconds."""
        return sum(b.failures for second, b in self.buckets.items() if second > now - WINDOW_S)

    def _know(self, worker: str, sequence: int, now: float) -> None:
        self.workers.pop(worker, None)
        self.workers[worker] = Told(sequence, now)
        while len(self.workers) > MOST_WORKERS:  # the one that was silent for longest
            del self.workers[next(iter(self.workers))]

    def _count(self, outcomes: list[Outcome], now: float) -> bool:
        """Add them up; whether that opened the circuit."""
        for outcome in outcomes:
            at = now - outcome.ago_s
            before_closing = self.closed_at is not None and at < self.closed_at
            if at <= now - WINDOW_S or (self.state is CircuitState.CLOSED and before_closing):
                continue
            self._add(outcome, at)
        self._forget(now)
        if self.state is CircuitState.CLOSED and self._is_bad():
            self._open(now)
            return True
        return False

    def _add(self, outcome: Outcome, at: float) -> None:
        if not outcome.successes and not outcome.failures:
            return
        bucket = self.buckets.setdefault(floor(at), Bucket())
        bucket.successes += outcome.successes
        bucket.failures += outcome.failures
        calls = self.tenants.setdefault(outcome.tenant_id, Calls(at))
        calls.called = max(calls.called, at)
        if outcome.failures:
            calls.failed = max(calls.failed or at, at)
            self.last_failure = max(self.last_failure, at)
            if self.state is not CircuitState.CLOSED:
                self.incident_failures += outcome.failures
            new = [
                FailureSample(at=at, tenant_id=outcome.tenant_id, error_code=code)
                for code in outcome.codes[: outcome.failures]
            ]
            self.samples = [*self.samples, *new][-MOST_SAMPLES:]

    def _forget(self, now: float) -> None:
        """What is older than the window."""
        start = now - WINDOW_S
        self.buckets = {s: b for s, b in self.buckets.items() if s > start}
        self.tenants = {name: c for name, c in self.tenants.items() if c.called > start}
        for calls in self.tenants.values():
            if calls.failed is not None and calls.failed <= start:
                calls.failed = None

    def _is_bad(self) -> bool:
        """Of what the window holds."""
        failures = sum(bucket.failures for bucket in self.buckets.values())
        successes = sum(bucket.successes for bucket in self.buckets.values())
        failing = sum(calls.failed is not None for calls in self.tenants.values())
        for_all = failing > 1 or len(self.tenants) == 1
        return failures >= LEAST_FAILURES and failures >= successes and for_all

    def _open(self, now: float) -> None:
        failures = sum(bucket.failures for bucket in self.buckets.values())
        calls = failures + sum(bucket.successes for bucket in self.buckets.values())
        failing = sum(c.failed is not None for c in self.tenants.values())
        codes = ", ".join(sorted({sample.error_code for sample in self.samples}))
        tenants = "1 tenant" if failing == 1 else f"{failing} tenants"
        self.reason = (
            f"{failures} of {calls} calls within {WINDOW_S:g} s failed"
            f"{f' ({codes})' if codes else ''}, for {tenants}"
        )
        again = self.closed_at is not None and now < self.closed_at + INCIDENT_S
        if self.opened_at is None or not again:
            self.opened_at, self.incident_failures = now, 0
        self.incident_failures += failures
        self.failed_probes, self.open_since = 0, now
        self._become(CircuitState.OPEN, now)
        self.retry_at = now + FIRST_OPEN_S

    def _close(self, now: float) -> None:
        self._become(CircuitState.CLOSED, now)
        self.closed_at = now
        self.failed_probes = 0
        self.buckets, self.tenants = {}, {}

    def _become(self, state: CircuitState, now: float) -> None:
        self.state = state
        self.since = now
        # Two changes at one instant are two changes.
        self.changed_at = max(now, self.changed_at + 1e-3)
        if state is not CircuitState.HALF_OPEN:
            self.probes = {}

    def _end(self, key: str, ok: bool | None, now: float) -> None:
        """A probe is over. One whose lease had run out is believed when it went well."""
        probe = self.probes.pop(key, None)
        if probe is None or ok is None:
            return
        if ok:
            self._close(now)
        elif now < probe.until or not any(now < other.until for other in self.probes.values()):
            self.failed_probes += 1
            self.incident_failures += 1
            self._become(CircuitState.OPEN, now)
            self.retry_at = now + min(FIRST_OPEN_S * 2**self.failed_probes, LONGEST_OPEN_S)

    def _hold(self, key: str, now: float) -> None:
        probe = self.probes.get(key)
        if probe and now < probe.until:
            probe.until = min(now + LEASE_S, max(probe.until, probe.since + LONGEST_PROBE_S))

    def _grant(self, key: str, now: float) -> bool:
        """Whether this attempt is the probe; asked again, it still is."""
        if self.state is CircuitState.CLOSED:
            return False
        if (current := self.probe(now)) is not None:
            self._hold(key, now)
            return key == current
        if self.state is CircuitState.OPEN:
            if now < self.retry_at:
                return False
            self._become(CircuitState.HALF_OPEN, now)
        self.probes.pop(key, None)
        self.probes[key] = Probe(now, now + LEASE_S)
        while len(self.probes) > MOST_PROBES:
            del self.probes[next(iter(self.probes))]
        return True

    def _retry_at(self, now: float) -> float:
        """When it makes sense to ask."""
        if self.state is CircuitState.OPEN:
            return self.retry_at
        current = self.probe(now)
        if current is None:
            return now
        least, most = PROBE_WAIT_S
        return now + min(max(now - self.probes[current].since, least), most)


_CIRCUIT: TypeAdapter[Circuit] = TypeAdapter(Circuit)


def pack_circuit(circuit: Circuit) -> str:
    """A circuit as short text, for the next run of its breaker."""
    return pack(_CIRCUIT.dump_json(circuit).decode())


def unpack_circuit(packed: str) -> Circuit:
    """`pack_circuit` backwards. Errors: `ValueError`."""
    return _CIRCUIT.validate_json(unpack(packed))
