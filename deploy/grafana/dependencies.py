"""The row of what runs depend on: plugins, sinks, events and the API."""

from panels import GREEN, RED, YELLOW, Panel, Query, Row
from queries import (
    PER_MINUTE,
    PLUGIN,
    per_minute,
    quantile,
    seen,
)

_CIRCUITS = {
    "type": "value",
    "options": {
        "0": {"text": "closed", "color": GREEN, "index": 0},
        "1": {"text": "half open", "color": YELLOW, "index": 1},
        "2": {"text": "open", "color": RED, "index": 2},
    },
}
DEPENDENCIES = Row(
    "Dependencies",
    [
        Panel(
            "state-timeline",
            "Circuits of plugins",
            "A plugin that fails for everybody is not called while its circuit is open. `taskflow "
            "breakers` says why.",
            [Query(seen("task_breaker_state", "plugin_id", PLUGIN), "{{plugin_id}}")],
            "none",
            steps=((GREEN, None), (YELLOW, 1), (RED, 2)),
            mappings=(_CIRCUITS,),
        ),
        Panel(
            "timeseries",
            "Attempts that wait for a circuit",
            "Attempts that were put off, because their plugin's circuit was open; and circuits "
            "that opened.",
            [
                Query(
                    per_minute("task_breaker_waits_total", "plugin_id", PLUGIN),
                    "{{plugin_id}}: waits",
                ),
                Query(
                    per_minute("task_breaker_opened_total", "plugin_id", PLUGIN),
                    "{{plugin_id}}: opened",
                ),
            ],
            PER_MINUTE,
        ),
        Panel(
            "timeseries",
            "State changes told to sinks",
            "Delivered at once, handed over to a workflow that goes on trying, and given up.",
            [
                Query(per_minute("task_events_delivered_total", "sink"), "{{sink}}: delivered"),
                Query(per_minute("task_events_handed_over_total", "sink"), "{{sink}}: handed over"),
                Query(per_minute("task_events_given_up_total", "sink"), "{{sink}}: given up"),
            ],
            PER_MINUTE,
        ),
        Panel(
            "timeseries",
            "Events in",
            "Events that came to the API, and runs that they started. `taskflow nats` counts on "
            "its own port.",
            [
                Query(per_minute("task_events_in_received_total"), "received"),
                Query(per_minute("task_events_in_started_total"), "runs started"),
                Query(per_minute("task_events_in_duplicates_total"), "came again"),
                Query(per_minute("task_events_in_limited_total"), "limited"),
                Query(per_minute("task_events_in_failed_filters_total"), "filters that failed"),
            ],
            PER_MINUTE,
        ),
        Panel(
            "timeseries",
            "API: answers, by status",
            "Requests that were answered. 429: a tenant asks too much; 503: Temporal does not "
            "answer.",
            [Query(per_minute("task_api_requests_total", "status"), "{{status}}")],
            PER_MINUTE,
            stacked=True,
        ),
        Panel(
            "timeseries",
            "API: p95, by route",
            "From a request to the end of its answer.",
            [Query(quantile(0.95, "task_api_request_seconds", "route"), "{{route}}")],
            "s",
        ),
    ],
)
