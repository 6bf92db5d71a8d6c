"""Our task as Temporal's Schedule, and back."""

import json
from datetime import UTC
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleListDescription,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)
from temporalio.contrib.pydantic import pydantic_data_converter

from domain import attributes as names
from domain.attributes import TASK_RUN
from domain.calendars import Calendar, Range, compile_cron, one_off_calendar
from domain.duration import format_duration
from domain.ids import run_id_prefix
from domain.run import TaskRunInput, TriggerKind
from domain.states import RunState
from domain.task import CronTrigger, IntervalTrigger, OneOffTrigger, Overlap, Task
from domain.triggers import zone_of

SPEC_DIGEST = SearchAttributeKey.for_keyword(names.SPEC_DIGEST)

FORM = 1
"""Part of every digest: raise it when the same task compiles to another schedule than before."""
LISTED_CALENDARS = 10
"""Temporal's list gives this many calendars and intervals of a schedule; describe gives all."""

_AT = "at "

_OVERLAPS = {
    Overlap.SKIP: ScheduleOverlapPolicy.SKIP,
    Overlap.ALLOW: ScheduleOverlapPolicy.ALLOW_ALL,
}
_KINDS = {
    CronTrigger: TriggerKind.CRON,
    IntervalTrigger: TriggerKind.INTERVAL,
    OneOffTrigger: TriggerKind.ONE_OFF,
}


def schedule_of(task: Task, *, weight: float, task_queue: str) -> Schedule:
    """The schedule that fires a task: everything that Temporal needs to know of it."""
    action = ScheduleActionStartWorkflow(
        TASK_RUN,
        TaskRunInput(task=task),
        id=run_id_prefix(task.tenant_id, task.task_id),
        task_queue=task_queue,
        typed_search_attributes=run_attributes(task, _KINDS[type(task.triggers[0])]),
        static_summary=summary_of(task),
        static_details=details_of(task),
        priority=priority_of(task, weight),
    )
    return Schedule(
        action=action,
        spec=_spec_of(task),
        policy=SchedulePolicy(overlap=_OVERLAPS[task.overlap], catchup_window=task.catchup),
        state=ScheduleState(),
    )


def priority_of(task: Task, weight: float) -> Priority:
    """Priority within the task queue, and the tenant's fair share of it."""
    return Priority(priority_key=task.priority, fairness_key=task.tenant_id, fairness_weight=weight)


def run_attributes(task: Task, kind: TriggerKind) -> TypedSearchAttributes:
    """What a run is found by from its first moment."""
    return _keywords(
        {**_ids_of(task), names.TASK_STATUS: RunState.PENDING, names.TRIGGER_KIND: kind}
    )


def schedule_attributes(task: Task, digest: str) -> TypedSearchAttributes:
    """What a schedule is found by, and the digest that tells whether it is still as wanted."""
    return _keywords({**_ids_of(task), names.SPEC_DIGEST: digest})


def _ids_of(task: Task) -> dict[str, str]:
    return {
        names.TENANT_ID: task.tenant_id,
        names.TASK_ID: task.task_id,
        names.PLUGIN_ID: task.plugin_id,
    }


def _keywords(values: dict[str, str]) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
            for name, value in values.items()
        ]
    )


def digest_of(task: Task, *, weight: float, task_queue: str) -> str:
    """32 hex digits that change when anything changes that a schedule is made of."""
    whole = [FORM, task.model_dump(mode="json"), weight, task_queue]
    text = json.dumps(whole, sort_keys=True, ensure_ascii=False)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def summary_of(task: Task) -> str:
    """One line for Temporal's lists."""
    return f"{task.tenant_id}/{task.task_id} on {task.plugin_id}"


def details_of(task: Task) -> str:
    """What the task is, for Temporal's page of a run."""
    triggers = "; ".join(trigger_text(trigger.model_dump(mode="json")) for trigger in task.triggers)
    about = f"{task.description}\n\n" if task.description else ""
    return (
        f"{about}- triggers: {triggers}\n- timeout: {format_duration(task.timeout)} an attempt, "
        f"{task.retry.max_attempts} attempts at most"
    )


def trigger_text(trigger: dict[str, Any]) -> str:
    """One trigger (its JSON form) in a few words."""
    if "cron" in trigger:
        return f"{trigger['cron']} ({trigger.get('timezone', 'UTC')})"
    if "every" in trigger:
        offset = trigger.get("offset", "0s")
        return f"every {trigger['every']}" + (f" +{offset}" if offset != "0s" else "")
    return f"at {trigger['at']}" if "at" in trigger else f"on {trigger.get('event', '?')}"


def task_of(schedule: Schedule) -> Task | None:
    """The task that a described schedule carries; None when it is not one of ours."""
    action = schedule.action
    if not isinstance(action, ScheduleActionStartWorkflow) or action.workflow != TASK_RUN:
        return None
    converter = pydantic_data_converter.payload_converter
    try:
        [request] = converter.from_payloads(list(action.args), [TaskRunInput])
    except (RuntimeError, ValueError):
        return None
    return request.task if isinstance(request, TaskRunInput) else None


def listed_triggers(entry: ScheduleListDescription) -> list[dict[str, Any]]:
    """The triggers of a listed schedule in their JSON form, without a call for each task.

    Cron text and one-off times travel in the comments of the calendars.
    """
    spec = entry.schedule.spec if entry.schedule else ScheduleSpec()
    zone = spec.time_zone_name or "UTC"
    found: list[dict[str, Any]] = []
    for calendar in spec.calendars:
        text = calendar.comment or ""
        trigger = (
            {"at": text[len(_AT) :]} if text.startswith(_AT) else {"cron": text, "timezone": zone}
        )
        if trigger not in found:  # an OR of days makes two calendars of one expression
            found.append(trigger)
    for interval in spec.intervals:
        trigger = {"every": format_duration(interval.every)}
        if interval.offset:
            trigger["offset"] = format_duration(interval.offset)
        found.append(trigger)
    return found


def _spec_of(task: Task) -> ScheduleSpec:
    zone = zone_of(task)
    calendars: list[ScheduleCalendarSpec] = []
    intervals: list[ScheduleIntervalSpec] = []
    for trigger in task.triggers:
        match trigger:
            case CronTrigger():
                calendars += [
                    _calendar(c, trigger.cron) for c in compile_cron(trigger.expression())
                ]
            case IntervalTrigger():
                interval = ScheduleIntervalSpec(trigger.every, trigger.offset or None)
                intervals.append(interval)
            case OneOffTrigger():
                calendars.append(_one_off(trigger, ZoneInfo(zone)))
    return ScheduleSpec(calendars=calendars, intervals=intervals, time_zone_name=zone)


def _one_off(trigger: OneOffTrigger, zone: ZoneInfo) -> ScheduleCalendarSpec:
    """A calendar of the schedule's zone; registration refuses an instant that it reads twice."""
    local = trigger.at.astimezone(zone).replace(tzinfo=UTC)
    return _calendar(one_off_calendar(local), f"{_AT}{trigger.model_dump(mode='json')['at']}")


def _calendar(calendar: Calendar, comment: str) -> ScheduleCalendarSpec:
    def ranges(values: tuple[Range, ...]) -> tuple[ScheduleRange, ...]:
        return tuple(ScheduleRange(r.start, r.end, r.step) for r in values)

    return ScheduleCalendarSpec(
        second=ranges(calendar.second),
        minute=ranges(calendar.minute),
        hour=ranges(calendar.hour),
        day_of_month=ranges(calendar.day_of_month),
        month=ranges(calendar.month),
        year=ranges(calendar.year),
        day_of_week=ranges(calendar.day_of_week),
        comment=comment,
    )
