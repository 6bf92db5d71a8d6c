"""The table of metrics: well-formed, and what the document says."""

from shared.metric_names import METRICS
from shared.metric_table import table
from shared.settings import ROOT

_LOCAL = {"le", "quantile", "instance", "job"}
"""Labels that Prometheus gives itself."""


def test_each_name_says_what_prometheus_expects_of_its_kind() -> None:
    """Counters end with `_total`, histograms with their unit, and every one has its own name."""
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert len(names) > 60
    for metric in METRICS:
        assert metric.name.startswith("temporal_" if metric.source == "sdk" else "task_")
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric
        assert list(metric.buckets) == sorted(metric.buckets), metric
        if metric.kind == "histogram":
            assert metric.name.endswith("_seconds"), metric
        assert metric.unit, metric
        assert metric.help, metric
        assert not set(metric.labels) & _LOCAL, metric


def test_the_requirements_names_are_found_in_the_help() -> None:
    """Who looks for a dotted name finds the metric that is meant."""
    for name in (
        *("task.scheduler.on_time_rate", "task.scheduler.missed_total"),
        *("task.execution.success_total", "task.execution.retry_total", "task.sla.breach_total"),
    ):
        [metric] = [metric for metric in METRICS if metric.help.startswith(f"{name}: ")]
        assert metric.name == name.replace(".", "_")


def test_the_document_has_the_table_of_the_code() -> None:
    """`python -m shared.metric_table` writes what stands in `docs/metrics.md`."""
    assert table() in (ROOT / "docs/metrics.md").read_text()
