"""Our task as Temporal's Schedule, and back."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleListDescription,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
)
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
)

from domain import attributes as names
from domain.attributes import STAGGER_MEMO, TASK_RUN
from domain.due import stagger_of
from domain.duration import format_duration
from domain.ids import parse_schedule_id, run_id_prefix, schedule_id
from domain.jitter import jitter_seed, stagger_offset
from domain.limits import skips_in_temporal
from domain.recovery import is_short
from domain.run import TaskRunInput, TriggerKind
from domain.states import RunState
from domain.task import CronTrigger, EventTrigger, IntervalTrigger, OneOffTrigger, Task
from shared.compiled import ON, SENTINEL_YEARS, compiled_spec, exact_until

SPEC_DIGEST = SearchAttributeKey.for_keyword(names.SPEC_DIGEST)

FORM = 2
"""Part of every digest: raise it when the same task compiles to another schedule than before."""
LISTED_CALENDARS = 10
"""Temporal's list gives this many calendars and intervals of a schedule; describe gives all."""

MOST_DETAILS = 4000
"""Characters of triggers in the details of a run: its history has them, and filters are long."""

ONCE = timedelta(days=14_000)
"""An interval of decades is a single fire."""

_AT = "at "

_KINDS = {
    CronTrigger: TriggerKind.CRON,
    IntervalTrigger: TriggerKind.INTERVAL,
    OneOffTrigger: TriggerKind.ONE_OFF,
    EventTrigger: TriggerKind.EVENT,
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a schedule is made with beside its task.

    `now` decides until when clock changes are mended; `namespace_id` (the UUID) makes the trigger
    times of tasks with jitter known in advance, and may be None when no task has jitter. `limited`
    are the tenants with a `max_concurrent`, all of whose runs ask for admission.
    """

    task_queue: str
    now: datetime
    namespace_id: str | None = None
    limited: frozenset[str] = frozenset()


def schedule_of(task: Task, weight: float, circumstances: Circumstances) -> Schedule:
    """The schedule that fires a task: everything that Temporal needs to know of it.

    Errors: `CannotCompile` when its triggers cannot be said exactly.
    """
    stagger = stagger_of(task)
    limited = task.tenant_id in circumstances.limited
    action = ScheduleActionStartWorkflow(
        TASK_RUN,
        TaskRunInput(
            task=task,
            jitter_seed=seed_of(task, circumstances.namespace_id),
            limited=limited,
            short=is_short(task),
        ),
        id=run_id_prefix(task.tenant_id, task.task_id),
        task_queue=circumstances.task_queue,
        memo={STAGGER_MEMO: int(stagger.total_seconds())} if stagger else None,
        typed_search_attributes=run_attributes(task, _kind_of_schedule(task)),
        static_summary=summary_of(task),
        static_details=details_of(task),
        priority=priority_of(task, weight),
    )
    return Schedule(
        action=action,
        spec=compiled_spec(task, circumstances.now),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP
            if skips_in_temporal(task, limited=limited)
            else ScheduleOverlapPolicy.ALLOW_ALL,
            catchup_window=task.catchup,
        ),
        state=ScheduleState(),
    )


def _kind_of_schedule(task: Task) -> TriggerKind:
    """What a run is found by until it says itself what it is: a schedule starts none of events."""
    kinds = [_KINDS[type(trigger)] for trigger in task.triggers]
    return next((kind for kind in kinds if kind is not TriggerKind.EVENT), TriggerKind.EVENT)


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


def digest_of(task: Task, weight: float, circumstances: Circumstances) -> str:
    """What a schedule is made of, `<32 hex digits>/<stagger window in s>/<mended until>`.

    The window is `<window>+<spread in s>` for a task with a spread. A list tells by it what moved
    the intervals, and by the day, empty where no clock
    changes, whether it is time to mend more of them. `/limited` follows for a tenant whose runs all
    ask for admission: that changes without the task.
    """
    whole = [
        *(FORM, task.model_dump(mode="json"), weight, circumstances.task_queue),
        seed_of(task, circumstances.namespace_id),
    ]
    text = json.dumps(whole, sort_keys=True, ensure_ascii=False)
    digest = blake2b(text.encode(), digest_size=16).hexdigest()
    until = exact_until(task, circumstances.now)
    window = str(task.stagger // timedelta(seconds=1))
    if task.spread:
        window += f"+{task.spread // timedelta(seconds=1)}"
    limited = "/limited" if task.tenant_id in circumstances.limited else ""
    return f"{digest}/{window}/{until.date().isoformat() if until else ''}{limited}"


def same_making(digest: str, other: str) -> bool:
    """Whether two digests are of the same task and version, whenever they were worked out."""
    return digest.partition("/")[0] == other.partition("/")[0]


async def circumstances_of(
    client: Client,
    tasks: Iterable[Task],
    task_queue: str,
    limited: frozenset[str] = frozenset(),
) -> Circumstances:
    """What the schedules of these tasks are made with, now. Errors: `RPCError`.

    The namespace is asked for only when a task has jitter.
    """
    namespace_id = await namespace_id_of(client) if any(task.jitter for task in tasks) else None
    return Circumstances(task_queue, datetime.now(UTC), namespace_id, limited)


async def namespace_id_of(client: Client) -> str:
    """The UUID of the client's namespace. Errors: `RPCError`."""
    request = DescribeNamespaceRequest(namespace=client.namespace)
    answer = await client.workflow_service.describe_namespace(request)
    return str(answer.namespace_info.id)


def seed_of(task: Task, namespace_id: str | None) -> str | None:
    """What the jitter of the task's fires is made of; None for a task without jitter."""
    if not task.jitter or namespace_id is None:
        return None
    return jitter_seed(namespace_id, schedule_id(task.tenant_id, task.task_id))


def summary_of(task: Task) -> str:
    """One line for Temporal's lists."""
    return f"{task.tenant_id}/{task.task_id} on {task.plugin_id}"


def details_of(task: Task) -> str:
    """What the task is, for Temporal's page of a run."""
    triggers = "; ".join(trigger_text(trigger.model_dump(mode="json")) for trigger in task.triggers)
    if len(triggers) > MOST_DETAILS:
        triggers = f"{triggers[: MOST_DETAILS - 3]}..."
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
    return f"at {trigger['at']}" if "at" in trigger else _event_text(trigger)


def _event_text(trigger: dict[str, Any]) -> str:
    parts = [f"on {trigger.get('event', '?')}"]
    if trigger.get("filter"):
        parts[0] += f" if {trigger['filter']}"
    if trigger.get("debounce"):
        parts.append(f"debounced {trigger['debounce']}")
    if trigger.get("max_events_per_minute"):
        parts.append(f"at most {trigger['max_events_per_minute']} a minute")
    return ", ".join(parts)


def next_times_of(triggers: Iterable[dict[str, Any]], times: Iterable[datetime]) -> list[datetime]:
    """When Temporal fires next, without the fire that only keeps the schedule of a task of events.

    `triggers` are in their JSON form.
    """
    if not any("event" in trigger for trigger in triggers):
        return list(times)
    return [at for at in times if at.astimezone(UTC).year < SENTINEL_YEARS]


async def read_task(client: Client, schedule: Schedule) -> Task | None:
    """The task that a described schedule carries; None when it is not one of ours."""
    request = await read_request(client, schedule)
    return request.task if request else None


async def read_request(client: Client, schedule: Schedule) -> TaskRunInput | None:
    """What a described schedule starts its runs with; None when it is not one of ours.

    Errors: `TaskflowError` when it is encrypted, and this process has not the key.
    """
    action = schedule.action
    if not isinstance(action, ScheduleActionStartWorkflow) or action.workflow != TASK_RUN:
        return None
    try:
        [request] = await client.data_converter.decode(list(action.args), [TaskRunInput])
    except (RuntimeError, ValueError):
        return None
    return request if isinstance(request, TaskRunInput) else None


def listed_triggers(entry: ScheduleListDescription) -> list[dict[str, Any]] | None:
    """The triggers of a listed schedule in their JSON form, without a call for each task.

    Cron text, one-off times and events travel in the comments of the calendars. None when the list,
    which gives the first `LISTED_CALENDARS` of each, does not say enough.
    """
    spec = entry.schedule.spec if entry.schedule else ScheduleSpec()
    if max(len(spec.calendars), len(spec.intervals)) >= LISTED_CALENDARS:
        return None
    found: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for calendar in spec.calendars:
        text = calendar.comment or ""
        if text.endswith("..."):
            return None
        if text.startswith(ON):
            events += json.loads(text[len(ON) :])
            continue
        trigger = _said_in(text, spec.time_zone_name or "UTC")
        if trigger not in found:  # one expression can be several calendars
            found.append(trigger)
    shift = _listed_shift(entry)
    for interval in spec.intervals:
        if interval.every >= ONCE:  # a fire that mends a clock change
            continue
        trigger = {"every": format_duration(interval.every)}
        if offset := ((interval.offset or timedelta(0)) - shift) % interval.every:
            trigger["offset"] = format_duration(offset)
        found.append(trigger)
    return [*found, *events]


def _said_in(comment: str, zone: str) -> dict[str, Any]:
    if comment.startswith(_AT):
        return {"at": comment[len(_AT) :]}
    text, _, elsewhere = comment.partition(" (")
    return {"cron": text, "timezone": elsewhere.rstrip(")") or zone}


def _listed_shift(entry: ScheduleListDescription) -> timedelta:
    _, _, rest = (entry.typed_search_attributes.get(SPEC_DIGEST) or "").partition("/")
    window, _, spread = rest.partition("/")[0].partition("+")
    key = parse_schedule_id(entry.id)
    if not window.isdigit() or key is None:
        return timedelta(0)
    shift = stagger_offset(*key, timedelta(seconds=int(window)))
    return shift + timedelta(seconds=int(spread or 0))
