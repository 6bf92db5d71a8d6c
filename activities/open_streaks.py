"""Which streaks of breaches go on, by tenant: the runs that came last, and all broke their SLA."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WorkflowExecution

from activities.streaks import SLA_STATUS, TRIGGER_TIME
from domain import attributes as names
from domain.attributes import TASK_RUN
from domain.ids import parse_run_id
from domain.sla import BREACHES, SlaStatus
from shared.calls import at_once

WINDOW = timedelta(days=7)
"""A task that ran last before this has no streak that goes on."""
MOST_ROWS = 2000
MOST_TASKS = 30
"""Looked at: those with the most breaches, when there are more."""

Key = tuple[str, str]


async def longest_open_streaks(client: Client) -> dict[str, int]:
    """By tenant, for those that have any. Errors: `RPCError`."""
    since = datetime.now(UTC) - WINDOW
    breached: defaultdict[Key, dict[str, datetime]] = defaultdict(dict)
    for key, run_id, at in await _rows(client, since, f"IN ({_listed(BREACHES)})"):
        breached[key][run_id] = at
    longest: dict[str, int] = {}

    async def look(key: Key) -> None:
        times = breached[key].values()
        of_the_task = f"AND TenantId = '{key[0]}' AND {names.TASK_ID} = '{key[1]}'"
        met = f"IN ({_listed(set(SlaStatus) - BREACHES)}) {of_the_task}"
        ended_well = [at for _, _, at in await _rows(client, min(times), met)]
        last = max(ended_well, default=None)
        streak = sum(1 for at in times if last is None or at > last)
        longest[key[0]] = max(streak, longest.get(key[0], 0))

    most = sorted(breached, key=lambda key: (-len(breached[key]), key))
    await at_once(most[:MOST_TASKS], look)
    return longest


async def _rows(client: Client, since: datetime, condition: str) -> list[tuple[Key, str, datetime]]:
    query = (
        f"WorkflowType = '{TASK_RUN}' AND {names.SLA_STATUS} {condition} "
        f"AND {names.TRIGGER_TIME} >= '{since.isoformat()}'"
    )
    listed = client.list_workflows(query, limit=MOST_ROWS, page_size=1000)
    return [row async for run in listed if (row := _row(run))]


def _row(run: WorkflowExecution) -> tuple[Key, str, datetime] | None:
    found, parsed = run.typed_search_attributes, parse_run_id(run.id)
    at = found.get(TRIGGER_TIME)
    if parsed is None or at is None or found.get(SLA_STATUS) is None:
        return None
    return (parsed.tenant_id, parsed.task_id), run.id, at


def _listed(statuses: "set[SlaStatus] | frozenset[SlaStatus]") -> str:
    return ", ".join(f"'{status}'" for status in sorted(statuses))
