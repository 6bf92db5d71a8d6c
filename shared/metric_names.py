"""Every metric of the product: its name, unit, labels and meaning.

Temporal's SDK has metrics of its own, which are on the same pages; those named here are the ones
that our alerts and dashboards rest on.
"""

from dataclasses import dataclass
from typing import Literal

from domain import run_metrics

Kind = Literal["counter", "gauge", "histogram"]
Source = Literal["worker", "api", "nats", "sdk"]

MOST_NAMES = 200
"""Values of `tenant_id`, and of `plugin_id`, that one process tells apart."""
MOST_CODES = 50
"""The same for `error_code`."""
MOST_SERIES = 2000
"""Combinations of labels that one metric has in one process."""
OTHER = "other"
"""Stands for every value beyond those."""

LATENCY = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 900)
"""Buckets of waits, in seconds: 60 is the bound of "on time"."""
DURATION = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 10800)
"""Buckets of runs, in seconds."""
REQUEST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Buckets of answers, in seconds."""
SDK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Buckets of all histograms of Temporal's SDK, in seconds."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `unit` is what a value is a number of; `buckets` are those of a histogram.

    `source` is the process that has it; `sdk`: every one, from Temporal's SDK.
    """

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    help: str
    source: Source = "worker"
    buckets: tuple[float, ...] = ()


def _counter(name: str, unit: str, text: str, *labels: str, source: Source = "worker") -> Metric:
    return Metric(name, "counter", unit, labels, text, source)


def _gauge(name: str, unit: str, text: str, *labels: str, source: Source = "worker") -> Metric:
    return Metric(name, "gauge", unit, labels, text, source)


def _histogram(
    name: str, text: str, buckets: tuple[float, ...], *labels: str, source: Source = "worker"
) -> Metric:
    return Metric(name, "histogram", "seconds", labels, text, source, buckets)


# Fires, counted by the worker whose watch judged them, at the time of the judging.
DUE = _counter("task_scheduler_due_total", "fires", "Fires that were due", "tenant_id")
ON_TIME = _counter(
    "task_scheduler_on_time_total",
    "fires",
    "Fires whose runs started within 60 s of their time",
    "tenant_id",
)
LATE = _counter(
    "task_scheduler_late_total", "fires", "Fires whose runs started later than that", "tenant_id"
)
MISSED = _counter(
    "task_scheduler_missed_total",
    "fires",
    "task.scheduler.missed_total: fires without a run",
    "tenant_id",
    "reason",
)
SKIPPED = _counter(
    "task_scheduler_skipped_total", "fires", "Fires that a rule skipped", "tenant_id"
)
STARTED_BY_WATCH = _counter(
    "task_scheduler_started_by_watch_total", "fires", "Fires that the watch ran late"
)
RESTORED = _counter(
    "task_scheduler_schedules_restored_total", "schedules", "Schedules made again or set right"
)
ON_TIME_RATE = _gauge(
    "task_scheduler_on_time_rate",
    "ratio",
    "task.scheduler.on_time_rate: share of the fires judged by this process, 0 to 1",
)
WATCH_TICK_AT = _gauge(
    "task_scheduler_watch_last_tick_timestamp_seconds",
    "seconds",
    "When the watch looked last, in seconds since 1970",
)
WATCH_TICK_SECONDS = _histogram(
    "task_scheduler_watch_tick_seconds", "How long a look of the watch took", DURATION
)

# Runs, counted by workflow code when it happens and not again when it is replayed.
SUCCESS = _counter(
    run_metrics.SUCCESS,
    "runs",
    "task.execution.success_total: runs that ended SUCCESS",
    "tenant_id",
    "plugin_id",
)
FAILED = _counter(
    run_metrics.FAILED,
    "runs",
    "Runs that ended FAILED, by the code of their last failure",
    "tenant_id",
    "plugin_id",
    "error_code",
)
ENDED = _counter(
    run_metrics.ENDED, "runs", "Runs that ended, however", "tenant_id", "plugin_id", "status"
)
RETRY = _counter(
    run_metrics.RETRY,
    "attempts",
    "task.execution.retry_total: attempts after the first of a run",
    "tenant_id",
    "plugin_id",
)
RUN_SECONDS = _histogram(
    run_metrics.DURATION, "From the actual start of a run to its end", DURATION, "plugin_id"
)
TRIGGER_LATENCY = _histogram(
    run_metrics.TRIGGER_LATENCY,
    "From the trigger time of a run to its actual start",
    LATENCY,
    "tenant_id",
)
COMPENSATION = _counter(
    run_metrics.COMPENSATION,
    "compensations",
    "Compensations of runs, by whether they succeeded (SUCCESS, FAILED)",
    "plugin_id",
    "status",
)
OPEN_CALLS = _gauge(
    "task_execution_open_calls", "calls", "Plugin calls open in this process", "plugin_id"
)

# Admission.
ADMISSION_ATTEMPTS = _counter(
    "task_admission_attempts_total", "questions", "Questions of runs to their governors"
)
ADMISSION_CONTENDED = _counter(
    "task_admission_contended_total", "questions", "Those that were not granted at once"
)
ADMISSION_REFUSED = _counter(
    "task_admission_refused_total", "runs", "Runs that were refused", "code"
)
ADMISSION_DEGRADED = _counter(
    "task_admission_degraded_total",
    "times",
    "Times that nobody could decide, by what came of it",
    "mode",
)
ADMISSION_SECONDS = _histogram(
    "task_admission_seconds", "How long a run waited for its governor's answer", REQUEST
)
QUEUE_DEPTH = _gauge(
    "task_admission_queue_depth", "runs", "Runs that wait for their governor", "tenant_id"
)
QUEUE_AGE = _gauge(
    "task_admission_queue_age_seconds",
    "seconds",
    "How long the one that waits longest has waited, 0 when none waits",
    "tenant_id",
)

# Service levels, work orders and forecast.
BREACHES = _counter(
    "task_sla_breach_total",
    "breaches",
    "task.sla.breach_total: breaches, warnings and failures that were raised",
    "kind",
    "tenant_id",
)
STREAK = _gauge(
    "task_sla_consecutive_breaches",
    "runs",
    "Runs in the tenant's longest streak of breaches that goes on",
    "tenant_id",
)
ORDERS_OPENED = _counter(
    run_metrics.ORDERS_OPENED, "work orders", "Work orders that were opened", "tenant_id"
)
ORDERS_CLOSED = _counter(
    run_metrics.ORDERS_CLOSED, "work orders", "Work orders that were closed, by how", "how"
)
ORDERS_OPEN = _gauge("task_work_orders_open", "work orders", "Work orders that are open")
FORECAST_HITS = _counter(
    "task_forecast_hits_total", "conflicts", "Real conflicts that had been foreseen"
)
FORECAST_MISSES = _counter("task_forecast_misses_total", "conflicts", "Real conflicts that had not")
FORECAST_FALSE_ALARMS = _counter(
    "task_forecast_false_alarms_total", "conflicts", "Foreseen conflicts that did not come"
)
FORECAST_CONFLICTS = _gauge(
    "task_forecast_conflicts", "conflicts", "Conflicts foreseen by the last look"
)
FORECAST_HIT_RATE = _gauge(
    "task_forecast_hit_rate",
    "ratio",
    "Share of the real conflicts scored by this process that were foreseen, 0 to 1",
)
FORECAST_AT = _gauge(
    "task_forecast_last_look_timestamp_seconds",
    "seconds",
    "When the forecast looked last, in seconds since 1970",
)

# The canary: a probe through Temporal, the run's task queue and the queue of plugin calls.
CANARY_AT = _gauge(
    run_metrics.CANARY_AT,
    "seconds",
    "When a canary came through last, in seconds since 1970",
)
CANARY_SECONDS = _histogram(
    run_metrics.CANARY_SECONDS, "From when a canary was due to when it was through", LATENCY
)
CANARY_FAILED = _counter(
    run_metrics.CANARY_FAILED,
    "canaries",
    "Canaries that failed. Of one that does not come at all the time of the last one tells",
)

# Temporal, as workers see it.
BACKLOG = _gauge(
    "task_temporal_backlog",
    "tasks",
    "Tasks that wait in a task queue of Temporal; kind: workflow or activity",
    "queue",
    "kind",
)
BACKLOG_AGE = _gauge(
    "task_temporal_backlog_age_seconds",
    "seconds",
    "How long the oldest of them has waited",
    "queue",
    "kind",
)
WORKER_INFO = _gauge(
    "task_worker_info",
    "worker",
    "1: what this worker is",
    "version",
    "deployment",
    "build_id",
)
STRANDED_RUNS = _gauge(
    "task_worker_stranded_runs",
    "runs",
    "Open runs of a version of the workers that has none any more: nobody can finish them",
    "build_id",
)

# What sinks are told, and the circuits of plugins.
EVENTS_DELIVERED = _counter(
    "task_events_delivered_total", "changes", "State changes that a sink took", "sink"
)
EVENTS_HANDED_OVER = _counter(
    "task_events_handed_over_total",
    "changes",
    "Those that it did not take at once: a Delivery workflow goes on",
    "sink",
)
EVENTS_GIVEN_UP = _counter(
    "task_events_given_up_total", "changes", "Those that it will never be told", "sink"
)
BREAKER_OPENED = _counter(
    "task_breaker_opened_total",
    "circuits",
    "Circuits opened by what this process told",
    "plugin_id",
)
BREAKER_WAITS = _counter(
    "task_breaker_waits_total",
    "attempts",
    "Attempts that waited, their plugin not being called",
    "plugin_id",
)
BREAKER_STATE = _gauge(
    "task_breaker_state",
    "state",
    "Circuit of a plugin that had failures: 0 closed, 1 half open, 2 open",
    "plugin_id",
)

# Events that come in, by the API or by NATS.
EVENTS_IN_RECEIVED = _counter(
    "task_events_in_received_total",
    "events",
    "Events that came in, repeats included",
    source="api",
)
EVENTS_IN_UNMATCHED = _counter(
    "task_events_in_unmatched_total", "events", "Those that no rule matched", source="api"
)
EVENTS_IN_MATCHED = _counter(
    "task_events_in_matched_total",
    "rules",
    "Rules that matched one, those of paused tasks too",
    source="api",
)
EVENTS_IN_PAUSED = _counter(
    "task_events_in_paused_total",
    "rules",
    "Rules that matched, of tasks that are paused",
    source="api",
)
EVENTS_IN_FAILED_FILTERS = _counter(
    "task_events_in_failed_filters_total",
    "filters",
    "Filters that gave no answer for an event",
    source="api",
)
EVENTS_IN_STARTED = _counter(
    "task_events_in_started_total", "runs", "Runs that events started", source="api"
)
EVENTS_IN_DUPLICATES = _counter(
    "task_events_in_duplicates_total",
    "runs",
    "Runs that were there when an event came again",
    source="api",
)
EVENTS_IN_LIMITED = _counter(
    "task_events_in_limited_total",
    "runs",
    "Runs not started because of max_events_per_minute",
    source="api",
)
EVENTS_IN_REFRESH_FAILED = _counter(
    "task_events_in_refresh_failed_total", "looks", "Looks at the rules that failed", source="api"
)
EVENTS_IN_RULES = _gauge(
    "task_events_in_rules", "rules", "Event rules that this process knows", source="api"
)

# The HTTP API.
API_REQUESTS = _counter(
    "task_api_requests_total",
    "requests",
    "Requests that were answered; routes are named by their templates",
    "method",
    "route",
    "status",
    source="api",
)
API_SECONDS = _histogram(
    "task_api_request_seconds",
    "From a request to the end of its answer",
    REQUEST,
    "method",
    "route",
    source="api",
)

# `taskflow nats`.
NATS_RECEIVED = _counter(
    "task_nats_received_total",
    "messages",
    "Messages that NATS delivered, repeats included",
    source="nats",
)
NATS_REDELIVERED = _counter(
    "task_nats_redelivered_total", "messages", "Those that it had delivered before", source="nats"
)
NATS_STARTED = _counter(
    "task_nats_started_total",
    "runs",
    "Runs that events started, or had started before",
    source="nats",
)
NATS_UNMATCHED = _counter(
    "task_nats_unmatched_total", "events", "Events that started no run", source="nats"
)
NATS_PARKED = _counter(
    "task_nats_parked_total",
    "messages",
    "Messages that can never be taken, put aside",
    source="nats",
)
NATS_DROPPED = _counter(
    "task_nats_dropped_total",
    "messages",
    "Such messages that no stream was there to keep",
    source="nats",
)
NATS_NAKS = _counter(
    "task_nats_naks_total",
    "messages",
    "Messages given back, to come again later",
    "reason",
    source="nats",
)

# Metrics about metrics.
METRICS_LOST = _counter(
    "task_metrics_lost_total",
    "updates",
    "Updates of Temporal's SDK and of workflow code that were lost; unreadable: a second's at once",
    "reason",
)
LOOKS_FAILED = _counter(
    "task_metrics_looks_failed_total",
    "looks",
    "Looks at Temporal for gauges that failed; what they show is as old as the last that did not",
    "what",
)

# Temporal's SDK, under the names that its own exporter gives them with units and `_total`.
SDK_TASKS_FAILED = _counter(
    "temporal_workflow_task_execution_failed_total",
    "tasks",
    "Workflow tasks that failed; failure_reason NonDeterminismError: a run that hangs",
    "task_queue",
    "workflow_type",
    "failure_reason",
    source="sdk",
)
SDK_TASK_WAIT = _histogram(
    "temporal_workflow_task_schedule_to_start_latency_seconds",
    "How long workflow tasks waited for a worker",
    SDK,
    "task_queue",
    source="sdk",
)
SDK_TASK_SECONDS = _histogram(
    "temporal_workflow_task_execution_latency_seconds",
    "How long workers took for workflow tasks",
    SDK,
    "task_queue",
    "workflow_type",
    source="sdk",
)
SDK_ACTIVITY_WAIT = _histogram(
    "temporal_activity_schedule_to_start_latency_seconds",
    "How long activities waited for a worker",
    SDK,
    "task_queue",
    source="sdk",
)
SDK_ACTIVITY_SECONDS = _histogram(
    "temporal_activity_execution_latency_seconds",
    "How long activities took",
    SDK,
    "task_queue",
    "workflow_type",
    "activity_type",
    source="sdk",
)
SDK_ACTIVITIES_FAILED = _counter(
    "temporal_activity_execution_failed_total",
    "attempts",
    "Attempts of activities that failed",
    "task_queue",
    "workflow_type",
    "activity_type",
    source="sdk",
)
SDK_WORKFLOWS_COMPLETED = _counter(
    "temporal_workflow_completed_total",
    "workflows",
    "Workflows that completed",
    "task_queue",
    "workflow_type",
    source="sdk",
)
SDK_WORKFLOWS_FAILED = _counter(
    "temporal_workflow_failed_total",
    "workflows",
    "Workflows that failed",
    "task_queue",
    "workflow_type",
    source="sdk",
)
SDK_SLOTS_AVAILABLE = _gauge(
    "temporal_worker_task_slots_available",
    "slots",
    "Free slots; worker_type: WorkflowWorker, ActivityWorker, LocalActivityWorker",
    "task_queue",
    "worker_type",
    source="sdk",
)
SDK_SLOTS_USED = _gauge(
    "temporal_worker_task_slots_used",
    "slots",
    "Slots in use",
    "task_queue",
    "worker_type",
    source="sdk",
)
SDK_POLLERS = _gauge(
    "temporal_num_pollers",
    "pollers",
    "Polls that wait for a task; poller_type: workflow_task, sticky_workflow_task, activity_task",
    "task_queue",
    "poller_type",
    source="sdk",
)
SDK_CACHE_SIZE = _gauge(
    "temporal_sticky_cache_size",
    "workflows",
    "Workflows that the worker keeps in memory",
    "task_queue",
    source="sdk",
)
SDK_REQUESTS = _counter(
    "temporal_request_total",
    "requests",
    "Requests to Temporal that are no polls",
    "operation",
    source="sdk",
)
SDK_REQUESTS_FAILED = _counter(
    "temporal_request_failure_total",
    "requests",
    "Those that failed",
    "operation",
    "status_code",
    source="sdk",
)
SDK_REQUEST_SECONDS = _histogram(
    "temporal_request_latency_seconds",
    "How long Temporal took to answer",
    SDK,
    "operation",
    source="sdk",
)

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All of them, in the order of this file."""
