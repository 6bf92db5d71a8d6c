"""Reading from Temporal's lists which runs around one broke their SLA."""

from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from domain import attributes as names
from domain.attributes import TASK_RUN
from domain.sla import BREACHES
from domain.streak import Judged, Streak, Unclear, streak_of
from shared.calls import is_missing

SLA_STATUS = SearchAttributeKey.for_keyword(names.SLA_STATUS)
TRIGGER_TIME = SearchAttributeKey.for_datetime(names.TRIGGER_TIME)

NARROW = timedelta(minutes=10)
WIDER = 6
WIDEST = timedelta(days=800)
"""Windows around the run grow from narrow to widest, until what lies in them says enough."""
MOST_ROWS = 20_000
"""A streak that this many runs do not reach the beginning of was announced long ago."""
LAG = timedelta(seconds=1)
"""How soon to look again for a run that Temporal's lists do not show yet."""


async def find_streak(client: Client, tenant_id: str, task_id: str, run_id: str) -> Streak | None:
    """The streak that a run is in; None when there is none, or the run was not judged.

    Errors: `ApplicationError` of type `NOT_SEEN_YET`: look again; `RPCError`.
    """
    handle = client.get_workflow_handle(run_id)
    try:
        run = await handle.describe()
    except RPCError as error:
        if is_missing(error):
            return None
        raise
    at = run.typed_search_attributes.get(TRIGGER_TIME)
    if at is None or run.typed_search_attributes.get(SLA_STATUS) not in BREACHES:
        if run.status is WorkflowExecutionStatus.RUNNING:
            raise _not_yet(f"{run_id} is not judged yet")
        return None
    width = NARROW
    while True:
        rows = await _rows_around(client, tenant_id, task_id, at, width)
        if not any(row.run_id == run_id and row.breached for row in rows):
            raise _not_yet(f"Temporal's lists do not show the end of {run_id} yet", LAG)
        all_of_it = width >= WIDEST
        to_last = all_of_it or at + width > datetime.now(UTC)
        found = streak_of(rows, run_id, from_first=all_of_it, to_last=to_last)
        if not isinstance(found, Unclear):
            return found
        if all_of_it or len(rows) >= MOST_ROWS:
            return None
        width = min(width * WIDER, WIDEST)


async def _rows_around(
    client: Client, tenant_id: str, task_id: str, at: datetime, width: timedelta
) -> list[Judged]:
    query = (
        f"WorkflowType = '{TASK_RUN}' AND {names.TENANT_ID} = '{tenant_id}' "
        f"AND {names.TASK_ID} = '{task_id}' AND {names.SLA_STATUS} IS NOT NULL "
        f"AND {names.TRIGGER_TIME} BETWEEN '{(at - width).isoformat()}' "
        f"AND '{(at + width).isoformat()}'"
    )
    listed = client.list_workflows(query, limit=MOST_ROWS, page_size=1000)
    return [row async for run in listed if (row := _judged(run))]


def _judged(run: WorkflowExecution) -> Judged | None:
    found = run.typed_search_attributes
    status, at = found.get(SLA_STATUS), found.get(TRIGGER_TIME)
    if status is None or at is None:
        return None
    return Judged(run.id, at, status in BREACHES, run.close_time)


def _not_yet(message: str, wait: timedelta | None = None) -> ApplicationError:
    return ApplicationError(message, type="NOT_SEEN_YET", next_retry_delay=wait)
