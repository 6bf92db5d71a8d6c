"""Is everything there that runs need? One check after the other, each with its remedy."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

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
from domain.ids import WATCH_SCHEDULE_ID
from domain.problems import InvalidInput
from shared.calls import is_missing
from shared.errors import TaskflowError, TemporalUnreachable
from shared.policy import load_policy
from shared.search_attributes import missing_search_attributes
from shared.settings import Settings
from shared.temporal import address
from shared.watch import last_watch
from starter.rpc import reach

LEAST_RETENTION = timedelta(days=3)
LONGEST_SILENCE = timedelta(minutes=3)
"""Of the watch, which looks every minute."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: how it is, and what to do when it is not well."""

    name: str
    ok: bool
    detail: str
    fix: str = ""

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
    yield await _workers(client, settings.task_queue)
    yield await check_watch(client, datetime.now(UTC))


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
        fix = "create the namespace, or set TEMPORAL_NAMESPACE"
        return Check(name, False, f"{client.namespace}: {error.message}", fix)
    retention = found.config.workflow_execution_retention_ttl.ToTimedelta()
    detail = f"{client.namespace}, runs are kept for {format_duration(retention)}"
    if retention < LEAST_RETENTION:
        fix = f"raise the namespace's retention to {LEAST_RETENTION.days} days or more"
        return Check(name, False, f"{detail}: too short to look back or to recognise repeats", fix)
    return Check(name, True, detail)


async def _search_attributes(client: Client) -> Check:
    name = "search attributes"
    try:
        missing = await missing_search_attributes(client)
    except (RPCError, TaskflowError) as error:
        return Check(name, False, str(error), "register them by your cluster's tools")
    if missing:
        fix = "start a worker or run `taskflow apply`: both register them"
        return Check(name, False, f"missing: {', '.join(missing)}", fix)
    return Check(name, True, "all registered")


async def _workers(client: Client, task_queue: str) -> Check:
    name = "workers"
    pollers = 0
    for kind in (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY):
        try:
            found = await client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=client.namespace,
                    task_queue=TaskQueue(name=task_queue),
                    task_queue_type=kind,
                )
            )
        except RPCError as error:
            return Check(name, False, error.message, "see the namespace's check")
        if not found.pollers:
            fix = "start `taskflow worker`"
            return Check(name, False, f"no worker polls the task queue {task_queue!r}", fix)
        pollers = max(pollers, len(found.pollers))
    return Check(name, True, f"{pollers} polling the task queue {task_queue!r}")


async def check_watch(client: Client, now: datetime) -> Check:
    """When the watch looked last, and what it found."""
    name, fix = "watch", "start `taskflow worker`: it makes the watch look every minute"
    try:
        schedule = await client.get_schedule_handle(WATCH_SCHEDULE_ID).describe()
        last = await last_watch(client)
    except RPCError as error:
        detail = "it is not scheduled" if is_missing(error) else error.message
        return Check(name, False, detail, fix)
    if schedule.schedule.state.paused:
        resume = f"unpause the schedule {WATCH_SCHEDULE_ID} in Temporal"
        return Check(name, False, "somebody paused it in Temporal", resume)
    seen = last.ticked_at if last else schedule.info.created_at
    silence = format_duration(timedelta(seconds=round((now - seen).total_seconds())))
    if now - seen > LONGEST_SILENCE:
        return Check(name, False, f"has not looked for {silence}", fix)
    if last is None:
        return Check(name, True, "scheduled, and has not looked yet")
    numbers = ", ".join(
        f"{number} {count}"
        for count in ("due", "late", "started", "missed", "skipped", "restored", "reported")
        if (number := getattr(last.tick, count)) or count == "due"
    )
    detail = f"looked {silence} ago: {numbers}"
    if last.tick.reported:
        return Check(name, False, f"{detail}. {last.findings[0]}", "see the log of the worker")
    return Check(name, True, detail)
