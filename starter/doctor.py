"""Is everything there that runs need? One check after the other, each with its remedy."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    GetSystemInfoRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

from domain.duration import format_duration
from domain.ids import FORECAST_SCHEDULE_ID, ROLLUP_SCHEDULE_ID, WATCH_SCHEDULE_ID, plugin_queue
from domain.levels import percent
from domain.problems import InvalidInput
from shared.calls import is_missing
from shared.errors import TaskflowError, TemporalUnreachable
from shared.policy import load_policy
from shared.search_attributes import missing_search_attributes
from shared.settings import Settings
from shared.temporal import address
from shared.watch import last_forecast, last_rollup, last_watch
from starter.breakers import list_breakers
from starter.rpc import reach, temporal_errors
from starter.versions import deployment_of

LEAST_RETENTION = timedelta(days=3)
LONGEST_POLL = timedelta(seconds=100)
"""A worker that is there asks again after 60 s; the rest is for clocks that differ."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: how it is, and what to do when it is not well.

    `told`: what of the detail is about no tenant in particular; None: all of it.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""
    told: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The check in the `doctor` document."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "fix": self.fix}


async def examine(settings: Settings) -> AsyncIterator[Check]:
    """Every check in turn; what depends on Temporal is left out when Temporal does not answer."""
    yield _policy(settings)
    yield await _plugin_runtime(settings)
    try:
        client = await reach(settings.temporal_timeout)
        info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    except (TaskflowError, RPCError) as error:
        fix = "start `taskflow dev`, or set TEMPORAL_ADDRESS"
        detail = str(error).split(". ")[0] if isinstance(error, TemporalUnreachable) else str(error)
        yield Check("temporal", False, detail, fix)
        return
    yield Check("temporal", True, f"server {info.server_version} at {address()}")
    for check in (_namespace, _search_attributes):
        yield await check(client)
    yield await check_workers(client, settings.task_queue, datetime.now(UTC))
    yield await check_versions(client, settings)
    yield await check_plugins(client)
    yield await check_watch(client, datetime.now(UTC))
    if settings.forecast:
        yield await check_forecast(client, datetime.now(UTC))
    if settings.rollups:
        yield await check_rollups(client, datetime.now(UTC))


async def examine_service(client: Client, settings: Settings, now: datetime) -> list[Check]:
    """What everybody's runs need of Temporal and of workers, looked at together.

    Errors: `TemporalUnreachable`.
    """
    looks = [
        _namespace(client),
        _search_attributes(client),
        check_workers(client, settings.task_queue, now),
        check_versions(client, settings),
        check_watch(client, now),
    ]
    if settings.forecast:
        looks.append(check_forecast(client, now))
    if settings.rollups:
        looks.append(check_rollups(client, now))
    with temporal_errors():
        return list(await asyncio.gather(*looks))


def _policy(settings: Settings) -> Check:
    try:
        load_policy(settings.policy_file)
    except InvalidInput as error:
        return Check("policy file", False, str(error), f"mend {settings.policy_file}")
    return Check("policy file", True, str(settings.policy_file))


async def _plugin_runtime(settings: Settings) -> Check:
    name = "plugin runtime"
    try:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
            response = await http.get(f"{settings.plugin_url.rstrip('/')}/healthz")
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        return Check(
            name,
            False,
            f"{settings.plugin_url} does not answer: {reason}",
            "start it, or set TASKFLOW_PLUGIN_URL",
        )
    return Check(name, True, f"{settings.plugin_url} answers ({response.status_code})")


async def _namespace(client: Client) -> Check:
    name = "namespace"
    try:
        found = await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace)
        )
    except RPCError as error:
        fix = "run `taskflow setup`, or set TEMPORAL_NAMESPACE"
        return Check(name, False, f"{client.namespace}: {error.message}", fix)
    retention = found.config.workflow_execution_retention_ttl.ToTimedelta()
    detail = f"{client.namespace}, runs are kept for {format_duration(retention)}"
    if retention < LEAST_RETENTION:
        fix = "run `taskflow setup`, which keeps them for 30 days"
        return Check(name, False, f"{detail}: too short to look back or to recognise repeats", fix)
    return Check(name, True, detail)


async def _search_attributes(client: Client) -> Check:
    name = "search attributes"
    try:
        missing = await missing_search_attributes(client)
    except RPCError as error:
        return Check(name, False, error.message, "see the namespace's check")
    except TaskflowError as error:
        return Check(name, False, str(error), "register them by your cluster's tools")
    if missing:
        fix = "run `taskflow setup`, start a worker or run `taskflow apply`: all register them"
        return Check(name, False, f"missing: {', '.join(missing)}", fix)
    return Check(name, True, "all registered")


async def check_workers(client: Client, task_queue: str, now: datetime) -> Check:
    """Whether somebody asks for work of every kind; Temporal lists who did for five minutes."""
    name = "workers"
    most = 0
    for queue, kind in (
        (task_queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW),
        (task_queue, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
        (plugin_queue(task_queue), TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY),
    ):
        try:
            found = await client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=client.namespace,
                    task_queue=TaskQueue(name=queue),
                    task_queue_type=kind,
                )
            )
        except RPCError as error:
            return Check(name, False, error.message, "see the namespace's check")
        asked = [poller.last_access_time.ToDatetime(UTC) for poller in found.pollers]
        if not asked:
            fix = "start `taskflow worker`"
            return Check(name, False, f"no worker polls the task queue {queue!r}", fix)
        if (silence := now - max(asked)) > LONGEST_POLL:
            ago = format_duration(timedelta(seconds=round(silence.total_seconds())))
            detail = f"no worker has polled the task queue {queue!r} for {ago}"
            fix = "start `taskflow worker`, or see why those that are there hang"
            return Check(name, False, detail, fix)
        most = max(most, sum(now - at <= LONGEST_POLL for at in asked))
    return Check(name, True, f"{most} polling the task queue {task_queue!r}")


async def check_versions(client: Client, settings: Settings) -> Check:
    """Runs that only workers can finish which are not there, and new runs that go to nobody."""
    name = "versions"
    try:
        found = await deployment_of(client, settings.deployment, settings.task_queue)
    except TaskflowError as error:
        return Check(name, False, str(error), "see the check of temporal")
    if troubles := found.troubles():
        detail = ". ".join([found.told(), *(text.partition(": ")[0] for text in troubles)])
        return Check(name, False, detail, troubles[0].partition(": ")[2])
    return Check(name, True, found.told())


async def check_plugins(client: Client) -> Check:
    """Plugins that fail for everybody, and whose calls wait therefore."""
    name = "plugins"
    try:
        found = [row for row in await list_breakers(client) if row.is_open]
    except TaskflowError as error:
        return Check(name, False, str(error), "see the check of temporal")
    if not found:
        return Check(name, True, "no circuit is open")
    said = [f"{row.circuit.plugin_id} since {row.since:%H:%M:%S} UTC" for row in found]
    detail = f"calls wait: {', '.join(said)}. {found[0].circuit.reason}"
    fix = "mend the plugin: its calls go on by themselves (`taskflow breakers`)"
    return Check(name, False, detail, fix)


async def check_watch(client: Client, now: datetime) -> Check:
    """When the watch looked last, and what it found."""
    found = await _look_of(_WATCH, client, now)
    if isinstance(found, Check):
        return found
    last, ago = found
    numbers = ", ".join(
        f"{number} {count}"
        for count in ("due", "late", "started", "missed", "skipped", "restored", "reported")
        if (number := getattr(last.tick, count)) or count == "due"
    )
    told = f"looked {ago} ago"
    detail = f"{told}: {numbers}"
    if last.tick.reported:
        found_what, fix = f"{detail}. {last.findings[0]}", "see the log of the worker"
        return Check(
            _WATCH.name, False, found_what, fix, f"{told}, and could not mend all it found"
        )
    return Check(_WATCH.name, True, detail, told=told)


async def check_forecast(client: Client, now: datetime) -> Check:
    """When the forecast looked last, what is ahead, and how often it was right so far."""
    found = await _look_of(_FORECAST, client, now)
    if isinstance(found, Check):
        return found
    last, ago = found
    tick, totals = last.tick, last.totals
    told = f"looked {ago} ago"
    detail = f"{told}: {tick.conflicts:,} conflicts ahead until {tick.until:%H:%M} UTC"
    if (rate := totals.hit_rate) is None:
        return Check(_FORECAST.name, True, f"{detail}, and none has come so far", told=told)
    real = totals.hits + totals.misses
    detail += f"; of {real:,} that came, {percent(rate)} were foreseen"
    return Check(_FORECAST.name, True, detail, told=told)


async def check_rollups(client: Client, now: datetime) -> Check:
    """When days were rolled up last, and how far that came."""
    found = await _look_of(_ROLLUPS, client, now)
    if isinstance(found, Check):
        return found
    last, ago = found
    told = f"looked {ago} ago"
    how_far = f"every day is rolled up until {last.through}" if last.through else "no day is"
    detail = f"{told}: {how_far}"
    if last.waiting:
        detail += f"; {len(last.waiting):,} wait for runs that have not ended"
    return Check(_ROLLUPS.name, True, detail, told=told)


@dataclass(frozen=True, slots=True)
class _Routine(Generic[Result]):
    """Something that workers do every so often: how its last look is found, and when that was."""

    name: str
    schedule_id: str
    often: str
    longest_silence: timedelta
    last: Callable[[Client], Awaitable[Result | None]]
    at: Callable[[Result], datetime]


_WATCH = _Routine(
    "watch",
    WATCH_SCHEDULE_ID,
    "every minute",
    timedelta(minutes=3),
    last_watch,
    lambda last: last.ticked_at,
)
_FORECAST = _Routine(
    "forecast",
    FORECAST_SCHEDULE_ID,
    "every five minutes",
    timedelta(minutes=12),
    last_forecast,
    lambda last: last.made_at,
)


_ROLLUPS = _Routine(
    "roll-ups",
    ROLLUP_SCHEDULE_ID,
    "every hour",
    timedelta(hours=3),
    last_rollup,
    lambda last: last.looked_at,
)


async def _look_of(
    routine: _Routine[Result], client: Client, now: datetime
) -> tuple[Result, str] | Check:
    """Its last look, and how long ago that was in words; a check where that says it all."""
    name = routine.name
    fix = f"start `taskflow worker`: it makes the {name} look {routine.often}"
    try:
        schedule = await client.get_schedule_handle(routine.schedule_id).describe()
        last = await routine.last(client)
    except RPCError as error:
        detail = "it is not scheduled" if is_missing(error) else error.message
        return Check(name, False, detail, fix)
    if schedule.schedule.state.paused:
        resume = f"unpause the schedule {routine.schedule_id} in Temporal"
        return Check(name, False, "somebody paused it in Temporal", resume)
    silence = now - (routine.at(last) if last else schedule.info.created_at)
    ago = format_duration(timedelta(seconds=round(silence.total_seconds())))
    if silence > routine.longest_silence:
        return Check(name, False, f"has not looked for {ago}", fix)
    return (last, ago) if last else Check(name, True, "scheduled, and has not looked yet")
