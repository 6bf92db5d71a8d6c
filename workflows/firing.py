"""Why and for when a run is."""

from datetime import UTC

from temporalio import workflow

from domain.due import due_of
from domain.run import Fire, TaskRunInput, TriggerKind, kind_of
from workflows import attributes as sa


def fire_of(request: TaskRunInput) -> Fire:
    """Kind, nominal time and trigger time; a run by hand carries them, a schedule sets them."""
    if request.manual:
        at = request.manual.at
        return Fire(
            kind=TriggerKind.MANUAL,
            nominal_time=request.manual.nominal_time or at,
            trigger_time=at,
            payload=request.manual.payload,
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
