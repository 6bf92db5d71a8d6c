"""The rows that say whether it goes well: targets, fires, runs."""

from panels import GREEN, RED, YELLOW, Panel, Query, Row
from queries import (
    BOTH,
    OVER,
    PER_MINUTE,
    PLUGIN,
    TENANT,
    per_minute,
    quantile,
    quantiles,
)


def share_well(slo: str, title: str, target: float, what: str) -> Panel:
    """A stat: how much of the last hour went well."""
    return Panel(
        "stat",
        title,
        f"{what} Of the last hour; the target is {target:.0%}. Empty: there was nothing to judge.",
        [Query(f'1 - taskflow:slo_errors:ratio1h{{slo="{slo}"}}')],
        "percentunit",
        width=4,
        height=5,
        decimals=2,
        top=1,
        steps=((RED, None), (GREEN, target)),
    )


def budget_left(slo: str, title: str) -> Panel:
    """A stat: what is left of the error budget of 30 days."""
    errors, budget = (
        f'taskflow:{name}{{slo="{slo}"}}' for name in ("slo_errors:ratio30d", "slo_budget:ratio")
    )
    return Panel(
        "stat",
        title,
        "What is left of the errors that 30 days may have, at the volume of those days. "
        "Below 0 the target is broken.",
        [Query(f"1 - {errors} / {budget}")],
        "percentunit",
        width=4,
        height=5,
        decimals=0,
        top=1,
        steps=((RED, None), (YELLOW, 0), (GREEN, 0.25)),
    )


SLO = Row(
    "SLO",
    [
        share_well(
            "on_time",
            "On time",
            0.98,
            "Fires whose run started within 60 s of their time, of all that were due and no rule "
            "skipped.",
        ),
        share_well(
            "success",
            "Success",
            0.97,
            "Runs that succeeded, of those that ended SUCCESS, FAILED or COMPENSATED.",
        ),
        budget_left("on_time", "On time: budget left"),
        budget_left("success", "Success: budget left"),
        Panel(
            "stat",
            "Trigger latency, p99",
            "From the trigger time of a run to its actual start. The target is less than a minute.",
            [Query(quantile(0.99, "task_scheduler_trigger_latency_seconds", where=TENANT))],
            "s",
            width=4,
            height=5,
            decimals=1,
            steps=((GREEN, None), (YELLOW, 30), (RED, 60)),
        ),
        Panel(
            "stat",
            "Conflicts foreseen",
            "Share of the real conflicts of a day that the forecast had warned of. The target is "
            "90 %.",
            [Query("taskflow:forecast_hits:ratio1d")],
            "percentunit",
            width=4,
            height=5,
            decimals=0,
            top=1,
            steps=((RED, None), (GREEN, 0.9)),
        ),
        Panel(
            "table",
            "Alerts that fire",
            "Each has a section in docs/runbook.md under its name. Empty is well.",
            [
                Query(
                    "sum by (alertname, severity, tenant_id, plugin_id, queue, instance) "
                    '(ALERTS{alertname=~"Taskflow.+", alertstate="firing"})',
                    now=True,
                    form="table",
                )
            ],
            "none",
            width=12,
            transformations=(
                {
                    "id": "organize",
                    "options": {"excludeByName": {"Time": True, "Value": True}},
                },
            ),
        ),
        Panel(
            "timeseries",
            "Burn rate",
            "How many times faster than 30 days bear the error budgets are spent. Beyond 14.4 "
            "over an hour, "
            "or 6 over six hours, somebody is called.",
            [
                Query(
                    "taskflow:slo_errors:ratio1h / on (slo) taskflow:slo_budget:ratio",
                    "{{slo}}, 1 h",
                ),
                Query(
                    "taskflow:slo_errors:ratio6h / on (slo) taskflow:slo_budget:ratio",
                    "{{slo}}, 6 h",
                ),
            ],
            "none",
            width=12,
            bound=True,
            steps=((GREEN, None), (YELLOW, 6), (RED, 14.4)),
        ),
    ],
)

TRIGGERS = Row(
    "Triggers",
    [
        Panel(
            "timeseries",
            "Fires by what became of them",
            "As the watch judged them, up to two minutes after they were due.",
            [
                Query(per_minute("task_scheduler_on_time_total", where=TENANT), "on time"),
                Query(per_minute("task_scheduler_late_total", where=TENANT), "late"),
                Query(per_minute("task_scheduler_missed_total", where=TENANT), "missed"),
                Query(
                    per_minute("task_scheduler_skipped_total", where=TENANT), "skipped by a rule"
                ),
                Query(
                    per_minute("task_scheduler_started_by_watch_total"),
                    "started by the watch (all tenants)",
                ),
            ],
            PER_MINUTE,
            stacked=True,
        ),
        Panel(
            "heatmap",
            "Trigger latency",
            "Runs by how long after their trigger time they started. 60 s is the bound of on time.",
            [
                Query(
                    "sum by (le) (increase(task_scheduler_trigger_latency_seconds_bucket"
                    f"{{{TENANT}}}{OVER}))",
                    "{{le}}",
                    form="heatmap",
                )
            ],
            "s",
        ),
        Panel(
            "timeseries",
            "Trigger latency, quantiles",
            "From the trigger time of a run to its actual start, waits for admission included.",
            quantiles("task_scheduler_trigger_latency_seconds", TENANT),
            "s",
            bound=True,
            steps=((GREEN, None), (RED, 60)),
        ),
        Panel(
            "timeseries",
            "Late and missed, by tenant",
            "Fires of five minutes that made no run in time: who is hit.",
            [
                Query(f"taskflow:fires_late:increase5m{{{TENANT}}} > 0", "{{tenant_id}}: late"),
                Query(f"taskflow:fires_missed:increase5m{{{TENANT}}} > 0", "{{tenant_id}}: missed"),
            ],
            "short",
            width=12,
        ),
        Panel(
            "timeseries",
            "Missed, by reason, and schedules restored",
            "Fires without a run, and schedules that were gone or changed in Temporal and were "
            "set right.",
            [
                Query(
                    per_minute("task_scheduler_missed_total", "reason", TENANT),
                    "missed: {{reason}}",
                ),
                Query(per_minute("task_scheduler_schedules_restored_total"), "schedules restored"),
            ],
            PER_MINUTE,
            width=12,
        ),
    ],
)

_ENDS = '{%s, status=~"%s"}'
EXECUTIONS = Row(
    "Executions",
    [
        Panel(
            "timeseries",
            "Runs by how they ended",
            "All ends, by state; docs/lifecycle.md says what each means.",
            [Query(per_minute("task_execution_ended_total", "status", BOTH), "{{status}}")],
            PER_MINUTE,
            stacked=True,
        ),
        Panel(
            "timeseries",
            "Success, by plugin",
            "Runs that succeeded, of those that ended SUCCESS, FAILED or COMPENSATED. The target "
            "is 97 %.",
            [
                Query(
                    "sum by (plugin_id) (rate(task_execution_ended_total"
                    f"{_ENDS % (BOTH, 'SUCCESS')}{OVER}))"
                    " / sum by (plugin_id) (rate(task_execution_ended_total"
                    f"{_ENDS % (BOTH, 'SUCCESS|FAILED|COMPENSATED')}{OVER}))",
                    "{{plugin_id}}",
                )
            ],
            "percentunit",
            top=1,
            bound=True,
            steps=((RED, None), (GREEN, 0.97)),
        ),
        Panel(
            "timeseries",
            "Failures, by error code",
            "Runs that ended FAILED, by the code of their last failure: docs/lifecycle.md lists "
            "the codes.",
            [
                Query(
                    per_minute("task_execution_failed_total", "error_code", BOTH), "{{error_code}}"
                )
            ],
            PER_MINUTE,
        ),
        Panel(
            "timeseries",
            "Duration, p95 by plugin",
            "From the actual start of a run to its end, retries and waits between them included.",
            [
                Query(
                    quantile(0.95, "task_execution_duration_seconds", "plugin_id", PLUGIN),
                    "{{plugin_id}}",
                )
            ],
            "s",
        ),
        Panel(
            "timeseries",
            "Retries and compensations",
            "Attempts after the first of a run, and compensations by how they ended.",
            [
                Query(
                    per_minute("task_execution_retry_total", "plugin_id", BOTH),
                    "{{plugin_id}}: retries",
                ),
                Query(
                    per_minute("task_compensation_total", "status", PLUGIN),
                    "compensations: {{status}}",
                ),
            ],
            PER_MINUTE,
        ),
        Panel(
            "timeseries",
            "Open plugin calls",
            "Calls that workers wait for now. What a plugin accepted and will report on is not "
            "among them.",
            [Query(f"sum by (plugin_id) (task_execution_open_calls{{{PLUGIN}}})", "{{plugin_id}}")],
            "short",
        ),
    ],
)
