"""The metrics of the table in one registry: bounded labels, and nothing here fails its caller."""

import math
import threading
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec
from weakref import WeakKeyDictionary

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from shared.metric_names import MOST_CODES, MOST_NAMES, MOST_SERIES, OTHER, Metric

log = structlog.get_logger(__name__)

# One more line for every counter, of which nobody asks when it was made.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library gives it no types

_MOST = {"error_code": MOST_CODES}
_OPEN = frozenset({"tenant_id", "plugin_id", "error_code"})
"""Labels whose values tasks and plugins choose: where a metric has too many series, they go."""

MOST_SAID = 100
_said: set[str] = set()

P = ParamSpec("P")


def quiet(method: Callable[P, None]) -> Callable[P, None]:
    """Counting fails nobody: what goes wrong is logged, each kind of it once."""

    @wraps(method)
    def counted(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            reason = repr(error)[:200]
            if reason not in _said and len(_said) < MOST_SAID:
                _said.add(reason)
                log.warning("not counted", action="metric_failed", reason=reason)

    return counted


class LabelBounds:
    """The values of labels that a process tells apart; those that come later are `OTHER`."""

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def bounded(self, label: str, value: str) -> str:
        """The value itself, or `OTHER`."""
        known = self._known.setdefault(label, set())
        if value in known:
            return value
        with self._lock:
            if len(known) >= _MOST.get(label, MOST_NAMES):
                return OTHER
            known.add(value)
        return value


class Instrument:
    """One metric. Label values are given in the order of the table; any thread may call."""

    def __init__(self, metric: Metric, registry: CollectorRegistry, bounds: LabelBounds) -> None:
        self._metric = metric
        self._bounds = bounds
        self._children: dict[tuple[str, ...], Any] = {}
        self._series: set[tuple[str, ...]] = set()
        self._family = _family(metric, registry)
        if not metric.labels and metric.unit == "ratio":
            self._family.set(math.nan)  # nothing is known yet, which is not nothing

    @quiet
    def add(self, *labels: str, amount: float = 1) -> None:
        """Count; a gauge goes up, or down by a negative amount."""
        self._child(labels).inc(amount)

    @quiet
    def set(self, value: float, *labels: str) -> None:
        """Show how it is."""
        self._child(labels).set(value)

    @quiet
    def observe(self, value: float, *labels: str) -> None:
        """Add to a histogram."""
        self._child(labels).observe(value)

    @quiet
    def touch(self, *labels: str) -> None:
        """Be there at zero: what appears at one has not grown, as `rate()` sees it."""
        self._child(labels)

    @quiet
    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Show these alone; what was there before is zero, since it may have come to an end."""
        shown: dict[tuple[str, ...], float] = {}
        for labels, value in values.items():
            bounded = self._bounded(labels)
            shown[bounded] = max(value, shown.get(bounded, value))
        for labels in self._series | shown.keys():
            self._child(labels).set(shown.get(labels, 0.0))

    def _child(self, labels: tuple[str, ...]) -> Any:
        if not self._metric.labels:
            return self._family
        child = self._children.get(labels)
        if child is None:
            bounded = self._bounded(labels)
            child = self._family.labels(*bounded)
            if bounded == labels:  # others are without number
                self._children[labels] = child
        return child

    def _bounded(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        if labels in self._series:
            return labels
        names = self._metric.labels
        bounded = tuple(map(self._bounds.bounded, names, labels))
        if bounded not in self._series and len(self._series) >= MOST_SERIES:
            pairs = zip(names, bounded, strict=True)
            bounded = tuple(OTHER if name in _OPEN else value for name, value in pairs)
        self._series.add(bounded)
        return bounded


class Instruments:
    """Makes them, each when it is first asked for; one for a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._bounds = LabelBounds()
        self._made: dict[str, Instrument] = {}
        self._lock = threading.Lock()

    def of(self, metric: Metric) -> Instrument:
        """The one of the table, in this registry."""
        with self._lock:
            if metric.name not in self._made:
                self._made[metric.name] = Instrument(metric, self._registry, self._bounds)
            return self._made[metric.name]


_of: "WeakKeyDictionary[CollectorRegistry, Instruments]" = WeakKeyDictionary()


def instruments_of(registry: CollectorRegistry) -> Instruments:
    """The same ones whenever they are asked for: a name can be registered once."""
    return _of.setdefault(registry, Instruments(registry))


def _family(metric: Metric, registry: CollectorRegistry) -> Any:
    match metric.kind:
        case "counter":
            return Counter(metric.name, metric.help, metric.labels, registry=registry)
        case "gauge":
            return Gauge(metric.name, metric.help, metric.labels, registry=registry)
        case "histogram":
            return Histogram(
                metric.name,
                metric.help,
                metric.labels,
                registry=registry,
                buckets=metric.buckets,
            )
