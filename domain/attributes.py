"""Names and types of the search attributes on schedules and runs."""

from typing import Literal

TENANT_ID = "TenantId"
TASK_ID = "TaskId"
PLUGIN_ID = "PluginId"
TASK_STATUS = "TaskStatus"
TRIGGER_KIND = "TriggerKind"
ERROR_CODE = "ErrorCode"
SLA_STATUS = "SlaStatus"
TRIGGER_TIME = "TriggerTime"
ACTUAL_START = "ActualStart"
RETRY_COUNT = "RetryCount"
DURATION_MS = "DurationMs"
SPEC_DIGEST = "SpecDigest"
WAITS_FOR = "WaitsFor"
QUEUE_POSITION = "QueuePosition"

SEARCH_ATTRIBUTES: dict[str, Literal["Keyword", "Datetime", "Int"]] = {
    TENANT_ID: "Keyword",
    TASK_ID: "Keyword",
    PLUGIN_ID: "Keyword",
    TASK_STATUS: "Keyword",
    TRIGGER_KIND: "Keyword",
    ERROR_CODE: "Keyword",
    SLA_STATUS: "Keyword",
    TRIGGER_TIME: "Datetime",
    ACTUAL_START: "Datetime",
    RETRY_COUNT: "Int",
    DURATION_MS: "Int",
    SPEC_DIGEST: "Keyword",
    WAITS_FOR: "Keyword",
    QUEUE_POSITION: "Int",
}

REASON_MEMO = "reason"
"""Memo field of a run that did not succeed: why, in a sentence."""

STAGGER_MEMO = "stagger_s"
"""Memo field of a scheduled run: by how many seconds its id is later than its nominal time."""

TASK_RUN = "TaskRun"
"""Name of the workflow type of a run; pinned."""

REGISTRY = "Registry"
"""Name of the workflow type that remembers which tasks should exist; pinned."""

WATCH = "Watch"
"""Name of the workflow type of a look at what should have run; pinned."""

EXECUTE_PLUGIN = "execute_plugin"
"""Name of the activity that calls a plugin; pinned."""

WATCH_TICK = "watch_tick"
"""Name of the activity that does the looking; pinned."""

WATCH_MEMO = "watch"
"""Memo field of a run that the watch made: what it found, a `Finding`."""

VERSION_MEMO = "version"
"""Memo field of a registry: grows with every change, so that an unchanged one is not read."""

LOAD_MEMO = "load"
"""Memo field of a registry: how many fires its tasks can have in one minute, at most."""

EVENT_MEMO = "event"
"""Memo field of an event's run: which event, an `EventBrief`."""

GOVERNOR = "Governor"
"""Name of the workflow type that decides a tenant's admissions; pinned."""

FORECAST = "Forecast"
"""Name of the workflow type of a look at what will collide; pinned."""

CANARY = "Canary"
"""Name of the workflow type of a probe through the whole chain; pinned."""

PROBE = "probe"
"""Name of the activity that it does; pinned."""

ASK_GOVERNOR = "ask_governor"
"""Name of the local activity that asks for admission; pinned."""

RELEASE_GRANT = "release_grant"
"""Name of the local activity that gives a grant back; pinned."""

NUDGE = "nudge"
"""Name of the signal that has a run ask its governor again; pinned."""

STOP = "stop"
"""Name of the signal that tells a run for which newer run it is cancelled; pinned."""

HOLDING = "holding"
"""Name of the query for what a run holds; pinned."""

RESTORE_GOVERNOR = "restore_governor"
"""Name of the activity that asks live runs what they hold; pinned."""

SWEEP_RUNS = "sweep_runs"
"""Name of the activity that finds runs which ended without a word; pinned."""

TELL_RUNS = "tell_runs"
"""Name of the local activity that has runs ask again; pinned."""

RESERVE_CAPACITY = "reserve_capacity"
"""Name of the activity that reserves capacity outside; pinned."""

RELEASE_CAPACITY = "release_capacity"
"""Name of the activity that gives a reservation back; pinned."""

FORECAST_TICK = "forecast_tick"
"""Name of the activity that forecasts and scores; pinned."""

LIMITS_MEMO = "limits"
"""Memo field of a tenant's first registry: what its runs may hold, a `TenantLimits`."""

CANCEL_EXECUTION = "cancel_execution"
"""Name of the activity that tells a plugin to stop; pinned."""

RAISE_NOTICES = "raise_notices"
"""Name of the local activity that starts a run's `Notice` workflows; pinned."""

PUBLISH_CHANGES = "publish_changes"
"""Name of the local activity that tells the sinks, or hands over what cannot wait; pinned."""

DELIVERY = "Delivery"
"""Name of the workflow type that tells sinks what they could not be told at once; pinned."""

DELIVER_CHANGES = "deliver_changes"
"""Name of the activity that tells one sink; pinned."""

NOTICE = "Notice"
"""Name of the workflow type that tells the notification service of one breach; pinned."""

NOTIFY = "notify"
"""Name of the activity that calls the notification service; pinned."""

LOOK_AT_STREAK = "look_at_streak"
"""Name of the activity that looks for consecutive breaches; pinned."""

WORK_ORDER = "WorkOrder"
"""Name of the workflow type of a work order; pinned."""

BREAKER = "Breaker"
"""Name of the workflow type that knows whether a plugin is fit to be called; pinned."""

PAUSE = "pause"
"""Name of the signal that holds a run at its next safe point; pinned."""

RESUME = "resume"
"""Name of the signal that lets a held run go on; pinned."""

EXPECT_DURATION = "expect_duration"
"""Name of the local activity that tells how long a task's runs take; pinned."""

READ_FLAGS = "read_flags"
"""Name of the local activity that tells a tenant's feature flags; pinned."""

DEBOUNCE = "Debounce"
"""Name of the workflow type that knows the newest event of a rule; pinned."""

DEBOUNCE_EVENT = "debounce_event"
"""Name of the local activity that tells it of a run; pinned."""

TELL_SUPERSEDED = "tell_superseded"
"""Name of the local activity that tells runs that newer ones take their place; pinned."""

SUPERSEDED = "superseded"
"""Name of the signal that tells a run which newer event's run goes instead; pinned."""

ANSWERED = "Answered"
"""Name of the workflow type that keeps the answer to a request with an Idempotency-Key; pinned."""

ROLLUP = "Rollup"
"""Name of the workflow type that keeps a month of a tenant's roll-ups; pinned."""

ROLLUP_LOOK = "RollupLook"
"""Name of the workflow type of a look for days that are over; pinned."""

ROLL_UP_DAYS = "roll_up_days"
"""Name of the activity that counts them; pinned."""

PIECES_MEMO = "pieces"
"""Memo field of a shelf of roll-ups: which pieces lie on it, as `domain.rollup` names them."""
