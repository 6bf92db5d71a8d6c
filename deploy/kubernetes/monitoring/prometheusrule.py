"""Writes prometheusrule.yaml from the rules of deploy/prometheus.

The Prometheus operator takes the same groups, within an object of its own. Run it after a change:
`python deploy/kubernetes/monitoring/prometheusrule.py`.
"""

from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
RULES = HERE.parents[1] / "prometheus/rules"
WRITTEN = HERE / "prometheusrule.yaml"
HEADER = "# Written by prometheusrule.py from deploy/prometheus/rules: change those and run it.\n"


def prometheus_rule() -> dict[str, Any]:
    """The object with the groups of every file, in the order of their names."""
    groups: list[Any] = []
    for file in sorted(RULES.glob("*.yml")):
        groups += yaml.safe_load(file.read_text())["groups"]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "taskflow",
            "namespace": "taskflow",
            "labels": {"app.kubernetes.io/part-of": "taskflow"},
        },
        "spec": {"groups": groups},
    }


if __name__ == "__main__":
    text = yaml.safe_dump(prometheus_rule(), sort_keys=False, allow_unicode=True, width=120)
    WRITTEN.write_text(HEADER + text)
