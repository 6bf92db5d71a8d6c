"""Metrics of the table in a registry: bounded, there at zero, and harmless."""

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from shared import metric_names as names
from shared.metric_instruments import instruments_of
from shared.metric_names import MOST_CODES, MOST_NAMES, MOST_SERIES, OTHER
from shared.metrics import AdmissionMetrics, CallMetrics, WatchMetrics


def _series(registry: CollectorRegistry, name: str) -> list[dict[str, str]]:
    return [
        sample.labels
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    ]


def test_a_process_tells_so_many_tenants_and_plugins_apart() -> None:
    """The first ones keep their names; whatever comes later is counted together."""
    registry = CollectorRegistry()
    failed = instruments_of(registry).of(names.FAILED)
    for number in range(MOST_NAMES + 50):
        failed.add(f"tenant-{number}", "p", f"CODE_{number}")
    found = _series(registry, names.FAILED.name)
    assert {labels["tenant_id"] for labels in found} == {
        *(f"tenant-{number}" for number in range(MOST_NAMES)),
        OTHER,
    }
    assert len({labels["error_code"] for labels in found}) == MOST_CODES + 1
    last = {"tenant_id": OTHER, "plugin_id": "p", "error_code": OTHER}
    assert registry.get_sample_value(names.FAILED.name, last) == 50


def test_values_are_known_by_all_metrics_of_a_process() -> None:
    """A tenant that is somebody in one metric is not somebody else in another."""
    registry = CollectorRegistry()
    of = instruments_of(registry).of
    for number in range(MOST_NAMES):
        of(names.DUE).add(f"tenant-{number}")
    of(names.LATE).add("tenant-0")
    of(names.LATE).add("latecomer")
    assert [labels["tenant_id"] for labels in _series(registry, names.LATE.name)] == [
        "tenant-0",
        OTHER,
    ]


def test_a_metric_has_so_many_series() -> None:
    """Tenants times plugins are many: then both are given up, and nothing is lost of the sum."""
    registry = CollectorRegistry()
    success = instruments_of(registry).of(names.SUCCESS)
    for number in range(MOST_SERIES + 100):
        success.add(f"tenant-{number % 100}", f"plugin-{number // 100}")
    found = _series(registry, names.SUCCESS.name)
    assert len(found) == MOST_SERIES + 1
    rest = {"tenant_id": OTHER, "plugin_id": OTHER}
    assert registry.get_sample_value(names.SUCCESS.name, rest) == 100


def test_what_can_be_known_begins_at_zero() -> None:
    """What appears at one has not grown, as `rate()` sees it: the first failure would be lost."""
    registry = CollectorRegistry()
    AdmissionMetrics(registry)
    WatchMetrics(registry).know([("acme", "p"), ("acme", "q")])

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("task_admission_refused_total", code="queue_timeout") == 0
    assert value("task_scheduler_late_total", tenant_id="acme") == 0
    assert value("task_sla_breach_total", kind="FINISH", tenant_id="acme") == 0
    ended = {"tenant_id": "acme", "plugin_id": "q", "status": "FAILED"}
    assert value("task_execution_ended_total", **ended) == 0


def test_a_gauge_of_many_forgets_who_is_gone() -> None:
    """A tenant whose queue is empty again shows nothing of what it was."""
    registry = CollectorRegistry()
    depth = instruments_of(registry).of(names.QUEUE_DEPTH)
    depth.show({("acme",): 7, ("bravo",): 2})
    depth.show({("bravo",): 3})
    assert registry.get_sample_value(names.QUEUE_DEPTH.name, {"tenant_id": "acme"}) == 0
    assert registry.get_sample_value(names.QUEUE_DEPTH.name, {"tenant_id": "bravo"}) == 3


def test_open_calls_go_up_and_down() -> None:
    """A call that fails is closed too."""
    registry = CollectorRegistry()
    calls = CallMetrics(registry)

    def open_now() -> float | None:
        return registry.get_sample_value(names.OPEN_CALLS.name, {"plugin_id": "p"})

    def call() -> None:
        with calls.open("p"):
            assert open_now() == 1
            raise RuntimeError("the call broke")

    with pytest.raises(RuntimeError):
        call()
    assert open_now() == 0


def test_counting_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with a metric is no matter of the run that is counted."""
    monkeypatch.setattr("shared.metric_instruments._said", set[str]())
    registry = CollectorRegistry()
    due = instruments_of(registry).of(names.DUE)
    with capture_logs() as logs:
        for _ in range(3):
            due.add("acme", amount=-1)
    [line] = logs
    assert "non-negative" in line["reason"]
    monkeypatch.setattr(due, "_family", None)
    due.add("bravo")
    due.touch("bravo")
    due.show({("bravo",): 1})
    assert registry.get_sample_value(names.DUE.name, {"tenant_id": "bravo"}) is None
