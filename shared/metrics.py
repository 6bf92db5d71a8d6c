"""Prometheus metrics: every one with its unit and meaning, in one place."""

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    start_http_server,
)

from domain.governor import Answer, Degraded
from domain.notices import BreachKind
from domain.outcomes import CircuitState
from domain.rules import Matches
from domain.scoring import Score
from domain.watch import Counts


class WatchMetrics:
    """What became of fires, counted as the watch judges them; times are those of the judging."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"task_scheduler_{name}", text, labels, registry=registry)

        self._due = counter("due_total", "Fires that were due")
        self._on_time = counter("on_time_total", "Runs that started within 60 s of their time")
        self._late = counter("late_total", "Runs that started later than that")
        self._missed = counter(
            "missed_total", "task.scheduler.missed_total: fires without a run", "reason"
        )
        self._skipped = counter("skipped_total", "Fires that a rule skipped")
        self._started = counter("started_by_watch_total", "Fires that the watch ran late")
        self._restored = counter("schedules_restored_total", "Schedules made again or set right")
        self._rate = Gauge(
            "task_scheduler_on_time_rate",
            "task.scheduler.on_time_rate: share of the fires judged by this process, 0 to 1",
            registry=registry,
        )
        self._all = Counts()

    def count(self, tick: Counts) -> None:
        """Add one tick; a run that waited is counted when it is judged."""
        self._due.inc(tick.due)
        self._on_time.inc(tick.on_time)
        self._late.inc(tick.late)
        self._missed.labels("outside_catchup").inc(tick.missed)
        self._skipped.inc(tick.skipped)
        self._started.inc(tick.started)
        self._restored.inc(tick.restored)
        self._all = self._all.plus_all(tick)
        judged = self._all.on_time + self._all.late + self._all.started + self._all.missed
        if judged:
            self._rate.set(self._all.on_time / judged)


class AdmissionMetrics:
    """What the runs of this process were told when they asked for admission."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"task_admission_{name}", text, labels, registry=registry)

        self._attempts = counter("attempts_total", "Questions of runs to their governors")
        self._contended = counter("contended_total", "Those that were not granted at once")
        self._refused = counter("refused_total", "Runs that were refused", "code")
        self._degraded = counter(
            "degraded_total", "Times that nobody could decide, by what came of it", "mode"
        )

    def answered(self, answer: Answer) -> None:
        """Count one answer of a governor."""
        self._attempts.inc()
        if answer.kind != "granted":
            self._contended.inc()
        if answer.kind == "refused":
            self._refused.labels(answer.code).inc()

    def degraded(self, mode: Degraded) -> None:
        """Count a governor or capacity service that did not answer."""
        self._degraded.labels(mode).inc()


class NoticeMetrics:
    """Breaches that this process was the first to raise."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._breaches = Counter(
            "task_sla_breach_total",
            "task.sla.breach_total: breaches, warnings and failures that were raised",
            ["kind"],
            registry=registry,
        )

    def raised(self, kind: BreachKind) -> None:
        """Count one that nobody had raised before."""
        self._breaches.labels(kind.value).inc()


class ForecastMetrics:
    """How well conflicts are foreseen; counted by the worker that looked."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"task_forecast_{name}", text, registry=registry)

        self._hits = counter("hits_total", "Real conflicts that had been foreseen")
        self._misses = counter("misses_total", "Real conflicts that had not")
        self._false_alarms = counter("false_alarms_total", "Foreseen conflicts that did not come")
        self._ahead = Gauge(
            "task_forecast_conflicts", "Conflicts foreseen by the last look", registry=registry
        )
        self._rate = Gauge(
            "task_forecast_hit_rate",
            "Share of the real conflicts scored by this process that were foreseen, 0 to 1",
            registry=registry,
        )
        self._all = Score()

    def count(self, score: Score, ahead: int) -> None:
        """Add one look: what it scored, and how many conflicts are ahead."""
        self._hits.inc(score.hits)
        self._misses.inc(score.misses)
        self._false_alarms.inc(score.false_alarms)
        self._ahead.set(ahead)
        self._all = self._all.plus(score)
        if (rate := self._all.hit_rate) is not None:
            self._rate.set(rate)


class EventMetrics:
    """What became of state changes that sinks are told, counted for each sink."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"task_events_{name}", text, ["sink"], registry=registry)

        self._delivered = counter("delivered_total", "State changes that a sink took")
        self._handed_over = counter(
            "handed_over_total", "Those that it did not take at once: a Delivery workflow goes on"
        )
        self._given_up = counter("given_up_total", "Those that it will never be told")

    def delivered(self, sink: str, changes: int) -> None:
        """The sink took so many."""
        self._delivered.labels(sink).inc(changes)

    def handed_over(self, sink: str, changes: int) -> None:
        """So many are on their way by a workflow."""
        self._handed_over.labels(sink).inc(changes)

    def given_up(self, sink: str, changes: int) -> None:
        """So many were refused, or their time is over."""
        self._given_up.labels(sink).inc(changes)


class BreakerMetrics:
    """Plugins whose calls fail, as this process knows of them."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"task_breaker_{name}", text, ("plugin_id",), registry=registry)

        self._opened = counter("opened_total", "Circuits opened by what this process told")
        self._waits = counter("waits_total", "Attempts that waited, their plugin not being called")
        self._state = Gauge(
            "task_breaker_state",
            "Circuit of a plugin that had failures: 0 closed, 1 half open, 2 open",
            ("plugin_id",),
            registry=registry,
        )

    def opened(self, plugin_id: str) -> None:
        """Count a circuit that opened."""
        self._opened.labels(plugin_id).inc()

    def waited(self, plugin_id: str) -> None:
        """Count an attempt that was put off."""
        self._waits.labels(plugin_id).inc()

    def state(self, plugin_id: str, state: CircuitState) -> None:
        """Show how a circuit is."""
        self._state.labels(plugin_id).set(_CIRCUITS[state])


class EventIntakeMetrics:
    """Events that came in, by whatever door, and what became of them."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry

        def counter(name: str, text: str) -> Counter:
            return Counter(f"task_events_in_{name}_total", text, registry=registry)

        self._received = counter("received", "Events that came in, repeats included")
        self._unmatched = counter("unmatched", "Those that no rule matched")
        self._matched = counter("matched", "Rules that matched one, those of paused tasks too")
        self._paused = counter("paused", "Rules that matched, of tasks that are paused")
        self._failed = counter("failed_filters", "Filters that gave no answer for an event")
        self._started = counter("started", "Runs that events started")
        self._duplicates = counter("duplicates", "Runs that were there when an event came again")
        self._limited = counter("limited", "Runs not started because of max_events_per_minute")
        self._refresh_failed = counter("refresh_failed", "Looks at the rules that failed")
        self._rules = Gauge(
            "task_events_in_rules", "Event rules that this process knows", registry=registry
        )

    def received(self, matches: Matches) -> None:
        """Count one event."""
        self._received.inc()
        matched = len(matches.rules) + len(matches.paused)
        self._matched.inc(matched)
        self._paused.inc(len(matches.paused))
        self._failed.inc(len(matches.failed))
        if not matched:
            self._unmatched.inc()

    def started(self) -> None:
        """Count a run that there was not."""
        self._started.inc()

    def duplicate(self) -> None:
        """Count a run that there was."""
        self._duplicates.inc()

    def limited(self) -> None:
        """Count a run that must wait for its event to come again."""
        self._limited.inc()

    def refresh_failed(self) -> None:
        """Count a look at the rules that could not be finished."""
        self._refresh_failed.inc()

    def rules(self, count: int) -> None:
        """Show how many there are."""
        self._rules.set(count)


class ApiMetrics:
    """What the HTTP API was asked, and how it answered; routes are named by their templates."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._requests = Counter(
            "task_api_requests_total",
            "Requests that were answered",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "task_api_request_seconds",
            "Seconds from a request to the end of its answer",
            ("method", "route"),
            registry=registry,
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


_CIRCUITS = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}


def serve_metrics(port: int, address: str) -> None:
    """Answer `/metrics` on a port from a thread of its own. Errors: `OSError` for a taken port."""
    start_http_server(port, addr=address)
