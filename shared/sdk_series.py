"""What Temporal's SDK counted, kept as Prometheus has it: its metrics are known when they come."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from prometheus_client.core import Metric as Family
from temporalio.runtime import BUFFERED_METRIC_KIND_COUNTER, BUFFERED_METRIC_KIND_HISTOGRAM

from shared import metric_names as names

Labels = tuple[tuple[str, str], ...]

_KNOWN = [metric for metric in names.METRICS if metric.source == "sdk"]
_HELP = {metric.name: metric.help for metric in _KNOWN}
_REASONS = ("NonDeterminismError", "WorkflowError")
"""Why a workflow task fails, as the SDK says it."""
_OTHER: Labels = (("series", names.OTHER),)
"""Labels of what comes when a metric has `MOST_SERIES` already."""
_EDGES = [*(f"{float(edge)}" for edge in names.SDK), "+Inf"]


class _Histogram:
    """Of one set of labels."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(names.SDK) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(names.SDK, value)] += 1
        self.total += value


class Series:
    """Every metric of the SDK, under the name that the SDK's own exporter would give it."""

    def __init__(self) -> None:
        def known(kind: str) -> list[str]:
            return [one.name for one in _KNOWN if one.kind == kind]

        self._counters: dict[str, dict[Labels, float]] = {n: {} for n in known("counter")}
        self._gauges: dict[str, dict[Labels, float]] = {n: {} for n in known("gauge")}
        self._histograms: dict[str, dict[Labels, _Histogram]] = {n: {} for n in known("histogram")}

    def take(
        self, name: str, kind: int, unit: str | None, value: float, given: Mapping[str, Any]
    ) -> None:
        """One update; durations are in seconds."""
        if kind == BUFFERED_METRIC_KIND_COUNTER:
            counts = self._counters.setdefault(f"{name}_total", {})
            labels = _labels(given, counts)
            counts[labels] = counts.get(labels, 0) + value
        elif kind == BUFFERED_METRIC_KIND_HISTOGRAM:
            name = f"{name}_seconds" if unit == "s" else name
            histograms = self._histograms.setdefault(name, {})
            labels = _labels(given, histograms)
            if labels not in histograms:
                histograms[labels] = _Histogram()
                self._touch(name, labels)
            histograms[labels].observe(value)
        else:
            gauges = self._gauges.setdefault(name, {})
            gauges[_labels(given, gauges)] = value

    def _touch(self, name: str, labels: Labels) -> None:
        """Have what may fail of something new begin at zero, for `rate()` to see it grow."""
        if labels == _OTHER:
            return
        if name == names.SDK_TASK_SECONDS.name:
            self._at_zero(names.SDK_WORKFLOWS_FAILED, labels)
            for reason in _REASONS:
                named = tuple(sorted((*labels, ("failure_reason", reason))))
                self._at_zero(names.SDK_TASKS_FAILED, named)
        if name == names.SDK_ACTIVITY_SECONDS.name:
            self._at_zero(names.SDK_ACTIVITIES_FAILED, labels)

    def _at_zero(self, metric: names.Metric, labels: Labels) -> None:
        counts = self._counters[metric.name]
        if len(counts) < names.MOST_SERIES:
            counts.setdefault(labels, 0)

    def families(self) -> Iterator[Family]:
        """All of it, for Prometheus."""
        for name, counts in self._counters.items():
            family = _family(name.removesuffix("_total"), "counter", name)
            for labels, value in counts.items():
                family.add_sample(name, dict(labels), value)
            yield family
        for name, gauges in self._gauges.items():
            family = _family(name, "gauge", name)
            for labels, value in gauges.items():
                family.add_sample(name, dict(labels), value)
            yield family
        for name, histograms in self._histograms.items():
            family = _family(name, "histogram", name)
            for labels, histogram in histograms.items():
                _add_histogram(family, dict(labels), histogram)
            yield family


def _family(name: str, kind: str, full_name: str) -> Family:
    return Family(name, _HELP.get(full_name, "Of Temporal's SDK"), kind)


def _add_histogram(family: Family, labels: dict[str, str], histogram: _Histogram) -> None:
    so_far = 0
    for edge, count in zip(_EDGES, histogram.counts, strict=True):
        so_far += count
        family.add_sample(f"{family.name}_bucket", {**labels, "le": edge}, so_far)
    family.add_sample(f"{family.name}_count", labels, so_far)
    family.add_sample(f"{family.name}_sum", labels, histogram.total)


@lru_cache(4096)
def _in_order(items: tuple[tuple[str, Any], ...]) -> Labels:
    return tuple(sorted((name, str(value)) for name, value in items))


def _labels(given: Mapping[str, Any], known: Mapping[Labels, object]) -> Labels:
    labels = _in_order(tuple(given.items()))
    if labels in known or len(known) < names.MOST_SERIES:
        return labels
    return _OTHER
