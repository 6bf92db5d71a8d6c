"""What Temporal's SDK counts, as Prometheus reads it."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from temporalio.runtime import (
    BUFFERED_METRIC_KIND_COUNTER,
    BUFFERED_METRIC_KIND_GAUGE,
    BUFFERED_METRIC_KIND_HISTOGRAM,
)

from shared import metric_names as names
from shared.metric_names import MOST_SERIES
from shared.sdk_series import Series


class Page:
    """A registry that has nothing but series."""

    def __init__(self) -> None:
        self.series = Series()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Family]:
        """For the registry."""
        return self.series.families()

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """As Prometheus reads the page."""
        return [
            (sample.labels, sample.value)
            for family in text_string_to_metric_families(generate_latest(self.registry).decode())
            for sample in family.samples
            if sample.name == name
        ]


def test_updates_become_counters_gauges_and_histograms() -> None:
    """Deltas add up, the last value of a gauge counts, and buckets hold what is not above them."""
    page = Page()
    queue = {"task_queue": "q", "eager": True}
    for value in (1, 2):
        page.series.take("temporal_x", BUFFERED_METRIC_KIND_COUNTER, None, value, queue)
        page.series.take("temporal_y", BUFFERED_METRIC_KIND_GAUGE, None, value, queue)
    for seconds in (0.005, 0.3, 100.0):
        page.series.take("temporal_z", BUFFERED_METRIC_KIND_HISTOGRAM, "s", seconds, queue)
    labels = {"task_queue": "q", "eager": "True"}
    assert page.samples("temporal_x_total") == [(labels, 3)]
    assert page.samples("temporal_y") == [(labels, 2)]
    assert page.samples("temporal_z_seconds_count") == [(labels, 3)]
    assert page.samples("temporal_z_seconds_sum") == [(labels, 100.305)]
    buckets = {said["le"]: value for said, value in page.samples("temporal_z_seconds_bucket")}
    assert (buckets["0.005"], buckets["0.25"], buckets["0.5"]) == (1, 1, 2)
    assert (buckets["60.0"], buckets["+Inf"]) == (2, 3)


def test_the_order_of_labels_makes_no_second_series() -> None:
    """Prometheus would refuse a page with two of the same."""
    page = Page()
    for given in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}):
        page.series.take("temporal_x", BUFFERED_METRIC_KIND_COUNTER, None, 1, given)
    assert page.samples("temporal_x_total") == [({"a": "1", "b": "2"}, 2)]


def test_a_metric_of_the_sdk_has_so_many_series() -> None:
    """Workflow types and queues are few; should they not be, the page stays readable."""
    page = Page()
    for number in range(MOST_SERIES + 10):
        given = {"task_queue": f"q-{number}"}
        page.series.take("temporal_x", BUFFERED_METRIC_KIND_COUNTER, None, 1, given)
    found = page.samples("temporal_x_total")
    assert len(found) == MOST_SERIES + 1
    assert ({"series": "other"}, 10) in found


def test_what_may_fail_begins_at_zero() -> None:
    """A queue's first workflow task that fails is growth."""
    page = Page()
    given = {"namespace": "default", "task_queue": "q", "workflow_type": "TaskRun"}
    name = names.SDK_TASK_SECONDS.name.removesuffix("_seconds")
    page.series.take(name, BUFFERED_METRIC_KIND_HISTOGRAM, "s", 0.01, given)
    found = page.samples(names.SDK_TASKS_FAILED.name)
    assert (given | {"failure_reason": "NonDeterminismError"}, 0) in found
    assert page.samples(names.SDK_WORKFLOWS_FAILED.name) == [(given, 0)]
