"""An example of each answer, for OpenAPI."""

from typing import Any

from starter.api.models import (
    CancelRequested,
    Deleted,
    Doc,
    ForecastDocument,
    Paused,
    RegisteredTasks,
    Rehearsed,
    Resumed,
    Run,
    RunList,
    SlaReportDocument,
    TaskDocument,
    TaskList,
    Triggered,
    WhyDocument,
)
from starter.api.openapi import Documented

_AT = "2026-11-23T02:00:00Z"
_NEXT = "2026-11-24T02:00:00Z"
_RUN_ID = f"run/acme/daily-report-{_AT}"
_ETAG = "7cc7586bb49ea861e4dab5f9696ed800"
_IDS = {"tenant_id": "acme", "task_id": "daily-report"}
_ROW = {
    **_IDS,
    "plugin_id": "report-builder",
    "paused": False,
    "note": None,
    "triggers": [{"cron": "0 2 * * *", "timezone": "Asia/Shanghai"}],
    "next_times": [_NEXT],
    "last_status": "SUCCESS",
}
_RUN = {
    "run_id": _RUN_ID,
    **_IDS,
    "plugin_id": "report-builder",
    "trigger_kind": "cron",
    "event": None,
    "nominal_time": _AT,
    "trigger_time": _AT,
    "actual_start": "2026-11-23T02:00:00.310Z",
    "ended_at": "2026-11-23T02:03:11.518Z",
    "duration_ms": 191208,
    "status": "SUCCESS",
    "reason": None,
    "retry_count": 1,
    "error_code": None,
    "sla": {"start": "MET", "finish": "MET"},
    "waits_for": None,
    "queue_position": None,
    "paused": None,
    "trace_id": "a90b1c2d3e4f5061728394a5b6c7d8e9",
}
_CONFLICT = {
    "at": _NEXT,
    "tenant_id": "acme",
    "kind": "mutex",
    "resource": "reports",
    "tasks": ["daily-report", "weekly-report"],
    "wait_s": 184.0,
    "outcome": "waits",
    "run_id": f"run/acme/daily-report-{_NEXT}",
    "timezone": "Asia/Shanghai",
    "proposal": None,
}
_LEVEL = {
    "due": 96,
    "on_time": 94,
    "on_time_rate": 0.9895,
    "success_rate": 0.9894,
    "missed": 0,
    "skipped": 1,
    "retries": 3,
    "breaches": 1,
    "p50_latency_s": 0.31,
    "p99_latency_s": 2.4,
    "late": 1,
    "waiting": 0,
    "runs": 95,
    "succeeded": 93,
    "failed": 1,
    "on_time_met": True,
    "success_met": True,
}
EXAMPLES: dict[type[Doc], dict[str, Any]] = {
    TaskList: {"tasks": [_ROW], "next_cursor": None},
    Run: _RUN,
    RunList: {"runs": [_RUN], "next_cursor": None},
    TaskDocument: {
        "task": {**_IDS, "plugin_id": "report-builder", "timeout": "10m"},
        "etag": _ETAG,
        "paused": False,
        "note": None,
        "next_times": [_NEXT],
        "fires": {"started": 12, "skipped_overlap": 0, "missed_catchup": 0},
        "created_at": "2026-11-11T09:30:00Z",
        "updated_at": None,
        "runs": [_RUN],
        "attempts": [],
    },
    RegisteredTasks: {
        "created": [{**_IDS, "next_times": [_NEXT]}],
        "updated": [],
        "unchanged": 0,
        "deleted": [],
        "tenants": [],
        "conflicts_before": 0,
        "conflicts_after": 0,
        "new_conflicts": [],
        "warnings": [],
        "tasks": [{**_IDS, "result": "created", "etag": _ETAG}],
    },
    Paused: {**_IDS, "paused": True, "runs": [_RUN_ID]},
    Resumed: {**_IDS, "paused": False, "recreated": False, "runs": [_RUN_ID]},
    Triggered: {"run_id": "run/acme/daily-report/manual/order-4711"},
    Deleted: {**_IDS, "deleted": True},
    CancelRequested: {"run_id": _RUN_ID, "cancel_requested": True},
    WhyDocument: {
        **_IDS,
        "at": _AT,
        "timezone": "Asia/Shanghai",
        "run_id": _RUN_ID,
        "verdict": "waiting",
        "because": ["it waits for mutex group reports, which run/acme/weekly-report holds"],
        "holder": f"run/acme/weekly-report-{_AT}",
        "position": 1,
        "expected_start": "2026-11-23T02:03:04Z",
    },
    ForecastDocument: {
        "from": _AT,
        "to": _NEXT,
        "tasks": 2,
        "fires": 2,
        "conflicts_total": 1,
        "conflicts": [_CONFLICT],
    },
    Rehearsed: {
        "ok": True,
        "hours": 24.0,
        "tasks": [
            {
                **_IDS,
                "change": "create",
                "paused": False,
                "ok": True,
                "lost": 0,
                "fires": [
                    {
                        "nominal_time": _NEXT,
                        "trigger_time": _NEXT,
                        "verdict": "runs",
                        "because": [],
                        "wait_s": None,
                    }
                ],
                "capacity": None,
                "proposal": None,
            }
        ],
        "tenants": [],
        "conflicts_before": 0,
        "conflicts_after": 0,
        "warnings": [],
    },
    SlaReportDocument: {
        "since": _AT,
        "until": _NEXT,
        "targets": {"on_time_rate": 0.98, "success_rate": 0.97},
        "rows": [{**_IDS, **_LEVEL}],
        "totals": _LEVEL,
        "rolled_up_days": 0,
        "gone_days": [],
        "warnings": [],
    },
}


def documented(model: type[Doc], status: int = 200, description: str = "Done") -> Documented:
    """The `responses` of a route that answers with this document; it has an example here."""
    content = {"application/json": {"example": EXAMPLES[model]}}
    return {status: {"model": model, "description": description, "content": content}}
