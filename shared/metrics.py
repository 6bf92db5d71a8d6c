"""What this product counts, by what it is about; `shared.metric_names` has names and meanings."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import get_args

from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from domain.governor import Answer, Degraded
from domain.notices import BreachKind
from domain.outcomes import CircuitState
from domain.rules import Matches
from domain.scoring import Score
from domain.states import RunState
from domain.watch import Counts
from domain.work_orders import OrderState
from shared import metric_names as names
from shared.metric_instruments import Instrument, Instruments, instruments_of
from shared.metric_names import Metric

NO_CATCHUP = "outside_catchup"
"""Reason of every `missed`: no run was made, and it was found too late to make one."""
REFUSALS = ("conflict", "impossible", "overlap", "queue_timeout", "superseded")
"""Codes of `domain.decisions.Refused`."""
_PER_TENANT = (names.DUE, names.ON_TIME, names.LATE, names.SKIPPED)
_CIRCUITS = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}


class _Metrics:
    """Has instruments, each made with the first one that has it."""

    METRICS: tuple[Metric, ...] = ()
    """Those that are there from the start, be it without a value."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._instruments = instruments_of(registry)
        for metric in self.METRICS:
            self._instruments.of(metric)

    def _of(self, metric: Metric) -> Instrument:
        return self._instruments.of(metric)


class WatchMetrics(_Metrics):
    """What became of fires, counted as the watch judges them; times are those of the judging."""

    METRICS = (
        *_PER_TENANT,
        names.MISSED,
        names.STARTED_BY_WATCH,
        names.RESTORED,
        names.ON_TIME_RATE,
        names.WATCH_TICK_AT,
        names.WATCH_TICK_SECONDS,
    )

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__(registry)
        self._all = Counts()
        self._known: set[tuple[str, str]] = set()

    def know(self, tasks: Iterable[tuple[str, str]]) -> None:
        """Of which (tenant, plugin) there are tasks: what is counted of them begins at zero."""
        pairs = set(tasks) - self._known
        self._known |= pairs
        for tenant_id in {tenant_id for tenant_id, _ in pairs}:
            for metric in _PER_TENANT:
                self._of(metric).touch(tenant_id)
            self._of(names.MISSED).touch(tenant_id, NO_CATCHUP)
            for kind in BreachKind:
                self._of(names.BREACHES).touch(kind.value, tenant_id)
            self._of(names.ORDERS_OPENED).touch(tenant_id)
        for tenant_id, plugin_id in pairs:
            touch_run(self._instruments, tenant_id, plugin_id)

    def count(self, tick: Counts, tenants: Mapping[str, Counts] | None = None) -> None:
        """Add one tick; a run that waited is counted when it is judged.

        `tenants`: the tick's fires by tenant.
        """
        for tenant_id, counts in (tenants or {}).items():
            self._of(names.DUE).add(tenant_id, amount=counts.due)
            self._of(names.ON_TIME).add(tenant_id, amount=counts.on_time)
            self._of(names.LATE).add(tenant_id, amount=counts.late)
            self._of(names.SKIPPED).add(tenant_id, amount=counts.skipped)
            self._of(names.MISSED).add(tenant_id, NO_CATCHUP, amount=counts.missed)
        self._of(names.STARTED_BY_WATCH).add(amount=tick.started)
        self._of(names.RESTORED).add(amount=tick.restored)
        self._all = self._all.plus_all(tick)
        judged = self._all.on_time + self._all.late + self._all.started + self._all.missed
        if judged:
            self._of(names.ON_TIME_RATE).set(self._all.on_time / judged)

    def ticked(self, at: datetime, seconds: float) -> None:
        """The watch looked, and it took so long."""
        self._of(names.WATCH_TICK_AT).set(at.timestamp())
        self._of(names.WATCH_TICK_SECONDS).observe(seconds)


def touch_run(instruments: Instruments, tenant_id: str, plugin_id: str) -> None:
    """Have what is counted of a tenant's runs of a plugin begin at zero."""
    instruments.of(names.SUCCESS).touch(tenant_id, plugin_id)
    instruments.of(names.RETRY).touch(tenant_id, plugin_id)
    for state in (RunState.SUCCESS, RunState.FAILED):
        instruments.of(names.ENDED).touch(tenant_id, plugin_id, state.value)


class RunMetrics(_Metrics):
    """What workflow code counts: `shared.sdk_metrics` brings it here."""

    METRICS = (
        names.SUCCESS,
        names.FAILED,
        names.ENDED,
        names.RETRY,
        names.RUN_SECONDS,
        names.TRIGGER_LATENCY,
        names.COMPENSATION,
        names.ORDERS_OPENED,
        names.ORDERS_CLOSED,
        names.CANARY_AT,
        names.CANARY_SECONDS,
        names.CANARY_FAILED,
    )

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__(registry)
        for how in (OrderState.RESOLVED, OrderState.WAIVED):
            self._of(names.ORDERS_CLOSED).touch(how.value)


class CallMetrics(_Metrics):
    """Plugin calls of this process."""

    METRICS = (names.OPEN_CALLS,)

    @contextmanager
    def open(self, plugin_id: str) -> Iterator[None]:
        """While a call is open."""
        calls = self._of(names.OPEN_CALLS)
        calls.add(plugin_id)
        try:
            yield
        finally:
            calls.add(plugin_id, amount=-1)


class AdmissionMetrics(_Metrics):
    """What the runs of this process were told when they asked for admission."""

    METRICS = (
        names.ADMISSION_ATTEMPTS,
        names.ADMISSION_CONTENDED,
        names.ADMISSION_REFUSED,
        names.ADMISSION_DEGRADED,
        names.ADMISSION_SECONDS,
    )

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__(registry)
        for code in REFUSALS:
            self._of(names.ADMISSION_REFUSED).touch(code)
        for mode in get_args(Degraded):
            self._of(names.ADMISSION_DEGRADED).touch(mode)

    def answered(self, answer: Answer) -> None:
        """Count one answer of a governor."""
        self._of(names.ADMISSION_ATTEMPTS).add()
        if answer.kind != "granted":
            self._of(names.ADMISSION_CONTENDED).add()
        if answer.kind == "refused":
            self._of(names.ADMISSION_REFUSED).add(answer.code or "")

    def waited(self, seconds: float) -> None:
        """An answer of a governor took so long."""
        self._of(names.ADMISSION_SECONDS).observe(seconds)

    def degraded(self, mode: Degraded) -> None:
        """Count a governor or capacity service that did not answer."""
        self._of(names.ADMISSION_DEGRADED).add(mode)


class NoticeMetrics(_Metrics):
    """Breaches that this process was the first to raise."""

    METRICS = (names.BREACHES,)

    def raised(self, kind: BreachKind, tenant_id: str) -> None:
        """Count one that nobody had raised before."""
        self._of(names.BREACHES).add(kind.value, tenant_id)


class ForecastMetrics(_Metrics):
    """How well conflicts are foreseen; counted by the worker that looked."""

    METRICS = (
        names.FORECAST_HITS,
        names.FORECAST_MISSES,
        names.FORECAST_FALSE_ALARMS,
        names.FORECAST_CONFLICTS,
        names.FORECAST_HIT_RATE,
        names.FORECAST_AT,
    )

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__(registry)
        self._all = Score()

    def count(self, score: Score, ahead: int) -> None:
        """Add one look: what it scored, and how many conflicts are ahead."""
        self._of(names.FORECAST_HITS).add(amount=score.hits)
        self._of(names.FORECAST_MISSES).add(amount=score.misses)
        self._of(names.FORECAST_FALSE_ALARMS).add(amount=score.false_alarms)
        self._of(names.FORECAST_CONFLICTS).set(ahead)
        self._all = self._all.plus(score)
        if (rate := self._all.hit_rate) is not None:
            self._of(names.FORECAST_HIT_RATE).set(rate)

    def looked(self, at: datetime) -> None:
        """The forecast looked."""
        self._of(names.FORECAST_AT).set(at.timestamp())


class EventMetrics(_Metrics):
    """What became of state changes that sinks are told, counted for each sink."""

    METRICS = (names.EVENTS_DELIVERED, names.EVENTS_HANDED_OVER, names.EVENTS_GIVEN_UP)

    def delivered(self, sink: str, changes: int) -> None:
        """The sink took so many."""
        self._of(names.EVENTS_DELIVERED).add(sink, amount=changes)

    def handed_over(self, sink: str, changes: int) -> None:
        """So many are on their way by a workflow."""
        self._of(names.EVENTS_HANDED_OVER).add(sink, amount=changes)

    def given_up(self, sink: str, changes: int) -> None:
        """So many were refused, or their time is over."""
        self._of(names.EVENTS_GIVEN_UP).add(sink, amount=changes)


class BreakerMetrics(_Metrics):
    """Plugins whose calls fail, as this process knows of them."""

    METRICS = (names.BREAKER_OPENED, names.BREAKER_WAITS, names.BREAKER_STATE)

    def opened(self, plugin_id: str) -> None:
        """Count a circuit that opened."""
        self._of(names.BREAKER_OPENED).add(plugin_id)

    def waited(self, plugin_id: str) -> None:
        """Count an attempt that was put off."""
        self._of(names.BREAKER_WAITS).add(plugin_id)

    def state(self, plugin_id: str, state: CircuitState) -> None:
        """Show how a circuit is."""
        self._of(names.BREAKER_STATE).set(_CIRCUITS[state], plugin_id)


class EventIntakeMetrics(_Metrics):
    """Events that came in, by whatever door, and what became of them."""

    METRICS = (
        names.EVENTS_IN_RECEIVED,
        names.EVENTS_IN_UNMATCHED,
        names.EVENTS_IN_MATCHED,
        names.EVENTS_IN_PAUSED,
        names.EVENTS_IN_FAILED_FILTERS,
        names.EVENTS_IN_STARTED,
        names.EVENTS_IN_DUPLICATES,
        names.EVENTS_IN_LIMITED,
        names.EVENTS_IN_REFRESH_FAILED,
        names.EVENTS_IN_RULES,
    )

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__(registry)
        self.registry = registry

    def received(self, matches: Matches) -> None:
        """Count one event."""
        matched = len(matches.rules) + len(matches.paused)
        self._of(names.EVENTS_IN_RECEIVED).add()
        self._of(names.EVENTS_IN_MATCHED).add(amount=matched)
        self._of(names.EVENTS_IN_PAUSED).add(amount=len(matches.paused))
        self._of(names.EVENTS_IN_FAILED_FILTERS).add(amount=len(matches.failed))
        if not matched:
            self._of(names.EVENTS_IN_UNMATCHED).add()

    def started(self) -> None:
        """Count a run that there was not."""
        self._of(names.EVENTS_IN_STARTED).add()

    def duplicate(self) -> None:
        """Count a run that there was."""
        self._of(names.EVENTS_IN_DUPLICATES).add()

    def limited(self) -> None:
        """Count a run that must wait for its event to come again."""
        self._of(names.EVENTS_IN_LIMITED).add()

    def refresh_failed(self) -> None:
        """Count a look at the rules that could not be finished."""
        self._of(names.EVENTS_IN_REFRESH_FAILED).add()

    def rules(self, count: int) -> None:
        """Show how many there are."""
        self._of(names.EVENTS_IN_RULES).set(count)


class ApiMetrics(_Metrics):
    """What the HTTP API was asked, and how it answered; routes are named by their templates."""

    METRICS = (names.API_REQUESTS, names.API_SECONDS)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one."""
        self._of(names.API_REQUESTS).add(method, route, str(status))
        self._of(names.API_SECONDS).observe(seconds, method, route)


def serve_metrics(port: int, address: str, registry: CollectorRegistry = REGISTRY) -> None:
    """Answer `/metrics` on a port from a thread of its own. Errors: `OSError` for a taken port."""
    start_http_server(port, addr=address, registry=registry)
