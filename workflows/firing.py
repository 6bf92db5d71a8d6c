"""Why and for when a run is."""

from datetime import UTC, timedelta

from temporalio import workflow

from domain.due import due_of
from domain.run import Fire, TaskRunInput, TriggerKind, kind_of
from workflows import attributes as sa


def fire_of(request: TaskRunInput) -> Fire:
    """Kind, nominal time and trigger time; a run by hand carries them, a schedule sets them.

    The run of an event is for when it was received, and due when no newer one can take its place.
    """
    if request.manual:
        at = request.manual.at
        return Fire(
            kind=TriggerKind.MANUAL,
            nominal_time=request.manual.nominal_time or at,
            trigger_time=at,
            payload=request.manual.payload,
        )
    if request.event:
        at = request.event.at
        return Fire(
            kind=TriggerKind.EVENT,
            nominal_time=at,
            trigger_time=at + (request.event.debounce or timedelta(0)),
            payload=request.event.event,
        )
    info = workflow.info()
    scheduled = (
        request.finding.scheduled_time
        if request.finding
        else info.typed_search_attributes.get(sa.SCHEDULED_START) or info.workflow_start_time
    )
    due = due_of(request.task, scheduled.astimezone(UTC), request.jitter_seed)
    return Fire(
        kind=kind_of(request.task, due.nominal_time),
        nominal_time=due.nominal_time,
        trigger_time=due.trigger_time,
    )
