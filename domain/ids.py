"""Ids of schedules and runs: built here and parsed back here, nowhere else.

A scheduled run's id ends in `-<nominal time>` because Temporal appends exactly that to the workflow
id of a schedule's action; the other kinds follow the same reading order.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import blake2b

NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
_SCHEDULE = re.compile(rf"task/(?P<tenant>{NAME})/(?P<task>{NAME})")
_REGISTRY = re.compile(rf"registry/(?P<tenant>{NAME})/(?P<shard>\d{{1,3}})", re.ASCII)
_ROLLUP = re.compile(
    rf"rollup/(?P<tenant>{NAME})/(?P<month>\d{{4}}-\d\d)/(?P<part>\d{{1,4}})", re.ASCII
)
_GOVERNOR = re.compile(rf"governor/(?P<tenant>{NAME})")
_SCHEDULED = re.compile(
    rf"run/(?P<tenant>{NAME})/(?P<task>{NAME})-(?P<at>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ)", re.ASCII
)
_KEYED = re.compile(rf"run/(?P<tenant>{NAME})/(?P<task>{NAME})/manual/(?P<key>.+)", re.DOTALL)
_OF_EVENT = re.compile(rf"run/(?P<tenant>{NAME})/(?P<task>{NAME})/event/(?P<key>[0-9a-f]{{32}})")


def schedule_id(tenant_id: str, task_id: str) -> str:
    """`task/acme/daily-report`: the Temporal Schedule of a task."""
    return f"task/{tenant_id}/{task_id}"


def parse_schedule_id(text: str) -> tuple[str, str] | None:
    """(tenant_id, task_id) of a schedule of ours, else None."""
    found = _SCHEDULE.fullmatch(text)
    return (found["tenant"], found["task"]) if found else None


def run_id_prefix(tenant_id: str, task_id: str) -> str:
    """What a schedule's action carries; Temporal appends `-` and the nominal time in seconds."""
    return f"run/{tenant_id}/{task_id}"


def scheduled_run_id(tenant_id: str, task_id: str, scheduled_time: datetime) -> str:
    """`run/acme/daily-report-2026-11-23T02:00:00Z`: one run for one nominal time.

    The time in it is `domain.due.Due.scheduled_time`: the nominal time plus the task's stagger.
    """
    at = scheduled_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{run_id_prefix(tenant_id, task_id)}-{at}"


def manual_run_id(tenant_id: str, task_id: str, key: str) -> str:
    """`run/acme/daily-report/manual/<key>`: one run for one key."""
    return f"{run_id_prefix(tenant_id, task_id)}/manual/{key}"


def event_run_id(tenant_id: str, task_id: str, source: str, event_id: str) -> str:
    """`run/acme/daily-report/event/<32 hex digits>`: one run for one event.

    CloudEvents are told apart by source and id together; both may be long and hold any character.
    """
    named = json.dumps([source, event_id]).encode()
    return f"{run_id_prefix(tenant_id, task_id)}/event/{blake2b(named, digest_size=16).hexdigest()}"


@dataclass(frozen=True, slots=True)
class RunId:
    """What a run's id says: whose it is, and its scheduled time or its key.

    The key of an event's run is a digest: see `event_run_id`.
    """

    tenant_id: str
    task_id: str
    scheduled_time: datetime | None
    key: str | None


def parse_run_id(text: str) -> RunId | None:
    """The parts of a run id of ours, else None."""
    if found := _SCHEDULED.fullmatch(text):
        try:
            at = datetime.fromisoformat(found["at"])
        except ValueError:
            return None
        return RunId(found["tenant"], found["task"], at, None)
    if found := _KEYED.fullmatch(text) or _OF_EVENT.fullmatch(text):
        return RunId(found["tenant"], found["task"], None, found["key"])
    return None


WATCH_SCHEDULE_ID = "taskflow/watch"
"""The schedule of the watch: one for a namespace."""

WATCH_ID = "watch"
"""What the ids of the watch's runs begin with."""


FORECAST_SCHEDULE_ID = "taskflow/forecast"
"""The schedule of the forecast: one for a namespace."""

FORECAST_ID = "forecast"
"""What the ids of the forecast's runs begin with."""


CANARY_SCHEDULE_ID = "taskflow/canary"
"""The schedule of the canary: one for a namespace."""

CANARY_ID = "canary"
"""What the ids of canaries begin with."""


ROLLUP_SCHEDULE_ID = "taskflow/rollups"
"""The schedule of the roll-ups: one for a namespace."""

ROLLUP_LOOK_ID = "rollups-look"
"""What the ids of their looks begin with."""


def rollup_prefix(tenant_id: str) -> str:
    """What the ids of a tenant's roll-ups begin with."""
    return f"rollup/{tenant_id}/"


def rollup_id(tenant_id: str, day: date, part: int) -> str:
    """`rollup/acme/2026-11/0`: a tenant's days of a month; the next part has the rest."""
    return f"{rollup_prefix(tenant_id)}{day:%Y-%m}/{part}"


def parse_rollup_id(text: str) -> tuple[str, date, int] | None:
    """(tenant_id, first of the month, part) of a shelf of ours, else None."""
    if not (found := _ROLLUP.fullmatch(text)):
        return None
    try:
        month = date.fromisoformat(f"{found['month']}-01")
    except ValueError:
        return None
    return found["tenant"], month, int(found["part"])


ROLLUP_MARKS_PREFIX = "rollups/"


def rollup_marks_id(day: date) -> str:
    """`rollups/2026-11`: the shelf that knows of each day of a month which tenants it had."""
    return f"{ROLLUP_MARKS_PREFIX}{day:%Y-%m}"


def parse_rollup_marks_id(text: str) -> date | None:
    """The first of the month of such a shelf, else None."""
    try:
        return date.fromisoformat(f"{text.removeprefix(ROLLUP_MARKS_PREFIX)}-01")
    except ValueError:
        return None


def registry_id(tenant_id: str, shard: int) -> str:
    """`registry/acme/3`: the workflow that remembers a part of a tenant's tasks."""
    return f"registry/{tenant_id}/{shard}"


def parse_registry_id(text: str) -> tuple[str, int] | None:
    """(tenant_id, shard) of a registry of ours, else None."""
    found = _REGISTRY.fullmatch(text)
    return (found["tenant"], int(found["shard"])) if found else None


def governor_id(tenant_id: str) -> str:
    """`governor/acme`: the workflow that decides the tenant's admissions."""
    return f"governor/{tenant_id}"


def parse_governor_id(text: str) -> str | None:
    """The tenant of a governor of ours, else None."""
    found = _GOVERNOR.fullmatch(text)
    return found["tenant"] if found else None


def notice_id(breach_id: str) -> str:
    """`notice/<breach id>`: the workflow that tells of one breach."""
    return f"notice/{breach_id}"


def work_order_id(run_id: str) -> str:
    """`work-order/<run id>`: one for a run, whatever it is opened for."""
    return f"work-order/{run_id}"


def run_of_work_order(text: str) -> str | None:
    """The run that a work order is about, else None."""
    return text.removeprefix("work-order/") if text.startswith("work-order/") else None


def delivery_id(run_id: str) -> str:
    """`delivery/<run id>`: the workflow that tells sinks of a run what they missed."""
    return f"delivery/{run_id}"


def breaker_id(plugin_id: str) -> str:
    """`breaker/<plugin id>`: the workflow that knows whether a plugin is fit to be called."""
    return f"breaker/{plugin_id}"


def debounce_id(tenant_id: str, task_id: str, rule: str) -> str:
    """`debounce/acme/report/<16 hex digits>`: the workflow that knows a rule's newest event.

    `rule` is the text of the rule: a rule that says otherwise is another one, and its place among
    those of its task does not matter.
    """
    digest = blake2b(rule.encode(), digest_size=8).hexdigest()
    return f"debounce/{tenant_id}/{task_id}/{digest}"


def answered_id(tenant_id: str, key: str) -> str:
    """`answered/acme/<hash>`: the workflow that keeps the answer to an `Idempotency-Key`."""
    return f"answered/{tenant_id}/{blake2b(key.encode(), digest_size=16).hexdigest()}"


def plugin_queue(task_queue: str) -> str:
    """`taskflow-plugins`: what runs have done beside calls of plugins, however many of those wait.

    It is named so because the calls were made there too, and those of older workers still are.
    """
    return f"{task_queue}-plugins"


def recovery_queue(task_queue: str) -> str:
    """`taskflow-recovery`: notices, work orders, deliveries, breakers and debounces."""
    return f"{task_queue}-recovery"
