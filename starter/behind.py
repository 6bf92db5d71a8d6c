"""What lies behind a tenant's tasks: the runs of the last hours, and those that are open."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio.client import Client

from domain.sla import BREACHES
from domain.states import RunState
from starter.rpc import temporal_errors
from starter.runs import RunView, list_runs, newest_first, runs_query, with_pauses

MOST_RUNS = 500
"""Read of the last hours; of more, the newest."""
MOST_OPEN = 100
"""Of those that began before."""

FAILURES = frozenset({RunState.FAILED, RunState.MISSED, RunState.COMPENSATED})


@dataclass(frozen=True, slots=True)
class Behind:
    """The runs that started since `since`, and those still open then, the newest first.

    `total`: how many there are since `since`; when they are too many, only those from `complete`
    on are all among `runs`.
    """

    since: datetime
    now: datetime
    runs: list[RunView]
    total: int
    complete: datetime

    @property
    def cut(self) -> bool:
        """Whether there were more than are shown."""
        return self.complete > self.since

    def by_state(self) -> dict[RunState, int]:
        """How many of the runs are in which state, in the order of the states."""
        counts = Counter(run.status for run in self.runs)
        return {state: counts[state] for state in RunState if counts[state]}

    @property
    def failures(self) -> list[RunView]:
        """Those that ended badly."""
        return [run for run in self.runs if run.status in FAILURES]

    @property
    def breaches(self) -> list[RunView]:
        """Those that broke their SLA."""
        return [run for run in self.runs if run.sla in BREACHES]

    @property
    def open(self) -> list[RunView]:
        """Those under way, or waiting to be."""
        return [run for run in self.runs if not run.ended]


async def look_back(client: Client, tenant_id: str, span: timedelta, now: datetime) -> Behind:
    """The tenant's last hours. What changed within the last second may not show yet.

    Errors: `TemporalUnreachable`.
    """
    since = now - span
    runs = await list_runs(client, tenant_id=tenant_id, since=since, limit=MOST_RUNS)
    complete, total = since, len(runs)
    if total == MOST_RUNS:
        complete = min(run.trigger_time or now for run in runs)
        with temporal_errors():
            query = runs_query(tenant_id, None, None, since)
            total = (await client.count_workflows(query)).count
    earlier = await list_runs(client, tenant_id=tenant_id, under_way_at=since, limit=MOST_OPEN)
    known = {run.run_id for run in runs}
    runs += [run for run in earlier if run.run_id not in known]
    return Behind(since, now, await with_pauses(client, newest_first(runs)), total, complete)
