"""What the watch counts, as Prometheus reads it."""

from prometheus_client import CollectorRegistry

from domain.watch import Counts
from shared.metrics import WatchMetrics


def test_ticks_add_up_to_counters_and_a_rate() -> None:
    """Two ticks are the sum of both; the rate is the share of on-time runs, those lost included."""
    registry = CollectorRegistry()
    metrics = WatchMetrics(registry)
    assert str(registry.get_sample_value("task_scheduler_on_time_rate")) == "nan"
    first = Counts(due=5, on_time=3, late=1, waiting=1)
    metrics.count(first, {"acme": first})
    second = Counts(due=2, on_time=1, waiting=-1, started=1, missed=1)
    metrics.count(second.plus(restored=2), {"acme": second})

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"task_scheduler_{name}", labels)

    assert value("due_total", tenant_id="acme") == 7
    assert value("on_time_total", tenant_id="acme") == 4
    assert value("late_total", tenant_id="acme") == 1
    assert value("missed_total", tenant_id="acme", reason="outside_catchup") == 1
    assert value("started_by_watch_total") == 1
    assert value("schedules_restored_total") == 2
    assert value("on_time_rate") == 4 / 7
