"""The rows of what it runs on: workers and Temporal."""

from panels import GREEN, RED, YELLOW, Panel, Query, Row
from queries import OVER, PER_MINUTE, age, per_minute, quantile, seen

WORKERS = Row(
    "Workers",
    [
        Panel(
            "state-timeline",
            "Processes",
            "Whether Prometheus can read the metrics of each worker and API process.",
            [Query('up{job=~"taskflow-.+"}', "{{job}} {{instance}}")],
            "none",
            steps=((RED, None), (GREEN, 1)),
            mappings=(
                {
                    "type": "value",
                    "options": {
                        "0": {"text": "down", "color": RED, "index": 0},
                        "1": {"text": "up", "color": GREEN, "index": 1},
                    },
                },
            ),
        ),
        Panel(
            "table",
            "Versions",
            "What each worker is: version, deployment and build.",
            [
                Query(
                    "sum by (instance, version, deployment, build_id) (task_worker_info)",
                    now=True,
                    form="table",
                )
            ],
            "none",
            transformations=(
                {
                    "id": "organize",
                    "options": {"excludeByName": {"Time": True, "Value": True}},
                },
            ),
        ),
        Panel(
            "timeseries",
            "Routines: since they looked last",
            "The watch looks every minute, the forecast every five; the canary comes through "
            "every minute.",
            [
                Query(age("task_scheduler_watch_last_tick_timestamp_seconds"), "watch"),
                Query(age("task_forecast_last_look_timestamp_seconds"), "forecast"),
                Query(age("task_canary_last_success_timestamp_seconds"), "canary"),
            ],
            "s",
        ),
        Panel(
            "timeseries",
            "Slots in use",
            "Share of the task slots of all workers that are taken, by queue and kind. At 100 % "
            "work waits: "
            "start more workers.",
            [
                Query(
                    "sum by (task_queue, worker_type) (temporal_worker_task_slots_used)"
                    " / (sum by (task_queue, worker_type) (temporal_worker_task_slots_used)"
                    " + sum by (task_queue, worker_type) (temporal_worker_task_slots_available))",
                    "{{task_queue}} {{worker_type}}",
                )
            ],
            "percentunit",
            top=1,
            bound=True,
            steps=((GREEN, None), (YELLOW, 0.8), (RED, 1)),
        ),
        Panel(
            "timeseries",
            "Processor",
            "Cores that each process uses. A worker uses one at most.",
            [
                Query(
                    f'rate(process_cpu_seconds_total{{job=~"taskflow-.+"}}{OVER})',
                    "{{job}} {{instance}}",
                )
            ],
            "none",
            decimals=2,
        ),
        Panel(
            "timeseries",
            "Memory",
            "Resident memory of each process.",
            [Query('process_resident_memory_bytes{job=~"taskflow-.+"}', "{{job}} {{instance}}")],
            "bytes",
        ),
        Panel(
            "timeseries",
            "A look of the watch, p95",
            "How long a look takes. It grows with the number of tasks; beyond a minute looks come "
            "less often.",
            [Query(quantile(0.95, "task_scheduler_watch_tick_seconds"), "p95")],
            "s",
            bound=True,
            steps=((GREEN, None), (RED, 60)),
        ),
        Panel(
            "timeseries",
            "Pollers",
            "Requests of workers that wait at Temporal for work, by queue. None for a queue: "
            "nobody works there.",
            [
                Query(
                    "sum by (task_queue, poller_type) (temporal_num_pollers)",
                    "{{task_queue}} {{poller_type}}",
                )
            ],
            "short",
        ),
        Panel(
            "timeseries",
            "Runs without workers of their version",
            "Open runs of a build that has no worker any more: nobody can finish them.",
            [Query(seen("task_worker_stranded_runs", "build_id"), "{{build_id}}")],
            "short",
            bound=True,
            steps=((GREEN, None), (RED, 1)),
        ),
        Panel(
            "timeseries",
            "Metrics that are lost",
            "Updates that a worker could not count, and looks at Temporal for gauges that failed: "
            "the gauges are old.",
            [
                Query(per_minute("task_metrics_lost_total", "reason"), "lost: {{reason}}"),
                Query(
                    per_minute("task_metrics_looks_failed_total", "what"), "not looked: {{what}}"
                ),
            ],
            PER_MINUTE,
        ),
    ],
)

TEMPORAL = Row(
    "Temporal",
    [
        Panel(
            "timeseries",
            "Age of the backlog",
            "How long the oldest task of each queue waits for a worker. Beyond a minute somebody "
            "is told.",
            [Query(seen("task_temporal_backlog_age_seconds", "queue, kind"), "{{queue}} {{kind}}")],
            "s",
            bound=True,
            steps=((GREEN, None), (RED, 60)),
        ),
        Panel(
            "timeseries",
            "Backlog",
            "Tasks that wait in each queue.",
            [Query(seen("task_temporal_backlog", "queue, kind"), "{{queue}} {{kind}}")],
            "short",
        ),
        Panel(
            "timeseries",
            "Canary",
            "A probe through Temporal and the workers' queues: from when it was due to when it "
            "was through; and those that failed, in a minute. When the last one came is above.",
            [
                Query(quantile(0.95, "task_canary_seconds"), "p95"),
                Query(per_minute("task_canary_failed_total"), "failed/min"),
            ],
            "s",
        ),
        Panel(
            "timeseries",
            "Workflow tasks that fail",
            "By reason. NonDeterminismError: runs hang, until a worker has code that fits their "
            "history.",
            [
                Query(
                    per_minute("temporal_workflow_task_execution_failed_total", "failure_reason"),
                    "{{failure_reason}}",
                )
            ],
            PER_MINUTE,
        ),
        Panel(
            "timeseries",
            "Schedule to start, p95",
            "How long workflow tasks and activities waited in Temporal for a slot of a worker.",
            [
                Query(
                    quantile(
                        0.95,
                        "temporal_workflow_task_schedule_to_start_latency_seconds",
                        "task_queue",
                    ),
                    "{{task_queue}}: workflow tasks",
                ),
                Query(
                    quantile(
                        0.95, "temporal_activity_schedule_to_start_latency_seconds", "task_queue"
                    ),
                    "{{task_queue}}: activities",
                ),
            ],
            "s",
        ),
        Panel(
            "timeseries",
            "Requests to Temporal, p95",
            "How long Temporal takes to answer workers, by operation; polls that wait for work "
            "are not among them.",
            [
                Query(
                    quantile(0.95, "temporal_request_latency_seconds", "operation"), "{{operation}}"
                )
            ],
            "s",
        ),
        Panel(
            "timeseries",
            "Requests to Temporal that fail",
            "By operation. Some NOT_FOUND are normal: who asks may come after the end of a run.",
            [
                Query(
                    per_minute("temporal_request_failure_total", "operation, status_code"),
                    "{{operation}} {{status_code}}",
                )
            ],
            PER_MINUTE,
            width=12,
        ),
        Panel(
            "timeseries",
            "Workflows in the cache",
            "Runs that workers hold in memory. What falls out is replayed when it goes on.",
            [Query("sum by (task_queue) (temporal_sticky_cache_size)", "{{task_queue}}")],
            "short",
            width=12,
        ),
    ],
)
