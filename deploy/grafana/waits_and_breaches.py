"""The rows of what waits, and of what became somebody's work."""

from panels import GREEN, RED, Panel, Query, Row
from queries import PER_MINUTE, TENANT, per_minute, seen

ADMISSION = Row(
    "Admission and queues",
    [
        Panel(
            "timeseries",
            "Contention",
            "Share of the requests to governors that were not granted at once. Beyond 70 % "
            "somebody is told.",
            [Query("taskflow:admission_contended:ratio5m", "contended")],
            "percentunit",
            width=6,
            top=1,
            bound=True,
            steps=((GREEN, None), (RED, 0.7)),
        ),
        Panel(
            "timeseries",
            "Waiting runs, by tenant",
            "Runs that wait for their tenant's governor: for quota, a mutex group or a run of "
            "their own task.",
            [Query(seen("task_admission_queue_depth", "tenant_id", TENANT), "{{tenant_id}}")],
            "short",
            width=6,
        ),
        Panel(
            "timeseries",
            "Longest wait, by tenant",
            "How long the run that waits longest has waited. `taskflow why` says for whom.",
            [Query(seen("task_admission_queue_age_seconds", "tenant_id", TENANT), "{{tenant_id}}")],
            "s",
            width=6,
        ),
        Panel(
            "timeseries",
            "Refused, and undecided",
            "Runs that were refused, by code; and times that no governor or capacity service "
            "could decide.",
            [
                Query(per_minute("task_admission_refused_total", "code"), "refused: {{code}}"),
                Query(per_minute("task_admission_degraded_total", "mode"), "undecided: {{mode}}"),
            ],
            PER_MINUTE,
            width=6,
        ),
        Panel(
            "timeseries",
            "Conflicts ahead",
            "Conflicts that the last forecast saw coming in the hours that it looks at.",
            [Query(seen("task_forecast_conflicts"), "conflicts ahead")],
            "short",
            width=12,
        ),
        Panel(
            "timeseries",
            "Conflicts that came",
            "Real conflicts that had been foreseen or not, and foreseen ones that did not come.",
            [
                Query(per_minute("task_forecast_hits_total"), "foreseen"),
                Query(per_minute("task_forecast_misses_total"), "not foreseen"),
                Query(per_minute("task_forecast_false_alarms_total"), "false alarms"),
            ],
            PER_MINUTE,
            width=12,
        ),
    ],
)

SLA = Row(
    "SLA and work orders",
    [
        Panel(
            "timeseries",
            "Breaches, by kind",
            "What was raised in five minutes: WARNING before a finish, START and FINISH breaches, "
            "FAILED runs, "
            "CONSECUTIVE breaches.",
            [Query(f"sum by (kind) (taskflow:sla_breaches:increase5m{{{TENANT}}})", "{{kind}}")],
            "short",
        ),
        Panel(
            "timeseries",
            "Longest streak of breaches, by tenant",
            "Runs of one task in a row that broke their SLA. At three somebody is called.",
            [Query(seen("task_sla_consecutive_breaches", "tenant_id", TENANT), "{{tenant_id}}")],
            "short",
            bound=True,
            steps=((GREEN, None), (RED, 3)),
        ),
        Panel(
            "timeseries",
            "Work orders",
            "Open ones; opened, by tenant, and closed, by how, in a minute. "
            "`taskflow work-orders list` shows them.",
            [
                Query(seen("task_work_orders_open"), "open"),
                Query(
                    per_minute("task_work_orders_opened_total", "tenant_id", TENANT),
                    "opened/min: {{tenant_id}}",
                ),
                Query(per_minute("task_work_orders_closed_total", "how"), "closed/min: {{how}}"),
            ],
            "short",
        ),
    ],
)
