"""The dashboard "Runtime Ops / Scheduler Overview".

`python deploy/grafana/dashboard.py > deploy/grafana/dashboards/scheduler-overview.json` writes it.
"""

import json
import sys

from dependencies import DEPENDENCIES
from fires_and_runs import EXECUTIONS, SLO, TRIGGERS
from machinery import TEMPORAL, WORKERS
from panels import Choice, dashboard
from waits_and_breaches import ADMISSION, SLA

OVERVIEW = dashboard(
    "taskflow-scheduler",
    "Runtime Ops / Scheduler Overview",
    "Whether tasks run on time and well, why not, and where to look. docs/runbook.md says what to "
    "do.",
    [
        Choice("tenant", "Tenant", "task_execution_ended_total", "tenant_id"),
        Choice("plugin", "Plugin", "task_execution_ended_total", "plugin_id"),
    ],
    [SLO, TRIGGERS, EXECUTIONS, ADMISSION, SLA, DEPENDENCIES, WORKERS, TEMPORAL],
)

if __name__ == "__main__":
    sys.stdout.write(json.dumps(OVERVIEW, indent=1) + "\n")
