"""What `deploy/` ships for Prometheus and Grafana, as data, and the metrics that it may rest on."""

from functools import cache
from typing import Any

import yaml

from shared.metric_names import METRICS
from shared.settings import ROOT
from tests.alerts.promql import TARGET, Labels, read

PROMETHEUS = ROOT / "deploy/prometheus"
GRAFANA = ROOT / "deploy/grafana"
DASHBOARD = GRAFANA / "dashboards/scheduler-overview.json"
CASES = sorted((ROOT / "tests/alerts/rules").glob("*.yml"))

OF_OTHERS: dict[str, Labels] = {
    "up": TARGET,
    "process_start_time_seconds": TARGET,
    "process_cpu_seconds_total": TARGET,
    "process_resident_memory_bytes": TARGET,
    "ALERTS": TARGET | {"alertname", "alertstate", "severity", "tenant_id", "plugin_id", "queue"},
}
"""Metrics of Prometheus itself, and of its client library in each process."""


@cache
def rules() -> tuple[dict[str, Any], ...]:
    """All rules in the order in which Prometheus reads them."""
    files = [PROMETHEUS / "rules" / name for name in ("recording.yml", "alerts.yml")]
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return tuple(rule for group in groups for rule in group["rules"])


def alerts() -> dict[str, dict[str, Any]]:
    """Those that may fire, by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def scraped() -> dict[str, Labels]:
    """Every series name that our processes may have, with its labels."""
    known = dict(OF_OTHERS)
    for metric in METRICS:
        labels = TARGET | set(metric.labels)
        if metric.kind == "histogram":
            known[f"{metric.name}_bucket"] = labels | {"le"}
            known |= {f"{metric.name}_{part}": labels for part in ("sum", "count")}
        else:
            known[metric.name] = labels
    return known


@cache
def known() -> dict[str, Labels]:
    """The same, and what recording rules make of it. Errors: `QueryError`."""
    found = scraped()
    for rule in rules():
        if "record" in rule:
            labels = read(rule["expr"], found).labels or Labels()
            found[rule["record"]] = (
                found.get(rule["record"], labels) | labels | set(rule.get("labels", {}))
            )
    return found
