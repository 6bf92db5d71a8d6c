"""What a schedule will really do: the server's own list of its times, against the wanted ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import Client

from domain.clock_changes import clock_changes
from domain.due import due_times
from domain.task import CronTrigger, Task
from starter.rpc import temporal_errors

PAGE = 1_000
"""The server answers with this many times at most, without a word about the rest."""

YEARS_LOOKED_AT = timedelta(days=730)
AROUND = timedelta(days=1, hours=6)


@dataclass(frozen=True, slots=True)
class Difference:
    """What a schedule does in a window (after, until] and should not, and the reverse; UTC."""

    after: datetime
    until: datetime
    extra: tuple[datetime, ...]
    missing: tuple[datetime, ...]


async def matching_times(
    client: Client, schedule_id: str, start: datetime, end: datetime
) -> list[datetime]:
    """The times (UTC) in (start, end] at which the server says it will fire, after jitter.

    A fire that is nominal before `start` and comes after it by jitter alone is not among them.
    Errors: `NotFound`, `TemporalUnreachable`.
    """
    found: list[datetime] = []
    after = start
    with temporal_errors(f"there is no schedule {schedule_id!r}"):
        while True:
            request = ListScheduleMatchingTimesRequest(
                namespace=client.namespace, schedule_id=schedule_id
            )
            request.start_time.FromDatetime(after)
            request.end_time.FromDatetime(end)
            answer = await client.workflow_service.list_schedule_matching_times(request, retry=True)
            page = [at.ToDatetime(tzinfo=UTC) for at in answer.start_time]
            found += [at for at in page if at > start]
            if len(page) < PAGE:
                return found
            after = page[-1]


async def verify(
    client: Client,
    schedule_id: str,
    wanted: Sequence[datetime],
    windows: Iterable[tuple[datetime, datetime]],
) -> list[Difference]:
    """Where the server's list differs from the wanted instants, window by window; none is right.

    A window is (after, until]; `wanted` holds all instants of all windows. The schedule must have
    no jitter: the server's list is of the times after it.
    """
    found = []
    # One after the other: of a busy schedule Temporal lets one query wait, and refuses more.
    for after, until in windows:
        expected = {at for at in wanted if after < at <= until}
        actual = set(await matching_times(client, schedule_id, after, until))
        if expected != actual:
            extra, missing = sorted(actual - expected), sorted(expected - actual)
            found.append(Difference(after, until, tuple(extra), tuple(missing)))
    return found


async def misfires(
    client: Client, schedule_id: str, task: Task, *, now: datetime
) -> list[Difference]:
    """Where a registered task's schedule would not do what its triggers say; none is right.

    Looked at are the days around each clock change that its zones meet in the next two years: away
    from those a calendar says what cron says. A task with jitter is looked at by nobody: the
    server's list is of the times after it.
    """
    zones = {ZoneInfo(t.timezone) for t in task.triggers if isinstance(t, CronTrigger)}
    # From the full hour on: what was found of a zone then holds for all tasks that are asked about.
    start = now.replace(minute=0, second=0, microsecond=0)
    end = start + YEARS_LOOKED_AT
    changes = sorted({change.at for zone in zones for change in clock_changes(zone, start, end)})
    if not changes or task.jitter:
        return []
    windows: list[tuple[datetime, datetime]] = []
    for at in changes:
        if windows and at - AROUND <= windows[-1][1]:
            windows[-1] = (windows[-1][0], at + AROUND)
        else:
            windows.append((max(now, at - AROUND), at + AROUND))
    wanted = [
        due.scheduled_time
        for after, until in windows
        for due in due_times(task, after=after, until=until)
    ]
    return await verify(client, schedule_id, wanted, windows)
