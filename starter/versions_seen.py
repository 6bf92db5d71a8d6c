"""Which versions of workers there are, what each still has to finish, and whether it can."""

from datetime import UTC, datetime, timedelta

from temporalio.api.deployment.v1 import WorkerDeploymentInfo
from temporalio.api.enums.v1 import (
    TaskQueueType,
    WorkerDeploymentVersionStatus,
    WorkerVersioningMode,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client

from domain.attributes import TASK_RUN
from shared.errors import Refused
from starter.rpc import temporal_errors
from starter.versions import UNVERSIONED, Deployment, Status, Version, describe

ALIVE = timedelta(seconds=70)
"""A worker that waits for work asks for it once a minute; one that does not any more is gone."""
LOOKED_AT = 1000
"""Runs of a version whose start is looked at."""
_OPEN = "ExecutionStatus = 'Running'"
_VERSIONED = WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED


async def deployment_of(client: Client, name: str | None, task_queue: str) -> Deployment:
    """The deployment of this name, or of whoever works on the queue; newest versions first.

    Errors: `TemporalUnreachable`, `TaskflowError`.
    """
    with temporal_errors():
        queue = await _queue(client, task_queue)
        name = name or _name_in(queue)
        found = await describe(client, name) if name else None
        info = found.worker_deployment_info if found else WorkerDeploymentInfo()
        rows = [
            await _version(client, name or "", info, summary, queue)
            for summary in info.version_summaries
        ]
        routed = bool(info.routing_config.current_deployment_version.build_id)
        rest = await _unversioned(client, queue, routed=routed)
        if rest.workers or rest.runs or not routed:
            rows.append(rest)
    rows.sort(key=lambda row: list(Status).index(row.status))
    return Deployment(name, tuple(rows))


async def name_of(client: Client, name: str | None, task_queue: str) -> str:
    """The name, or that of the deployment of whoever works on the queue. Errors: `Refused`."""
    with temporal_errors():
        found = name or _name_in(await _queue(client, task_queue))
    if found is None:
        raise Refused(
            f"no worker of task queue {task_queue!r} is versioned: start workers with "
            "TASKFLOW_DEPLOYMENT, or name the deployment with --deployment"
        )
    return found


async def missing_workers(client: Client, run_id: str, task_queue: str) -> str | None:
    """What an open run waits for whose version has no workers; None where that is not so.

    Errors: `RPCError`.
    """
    described = await client.get_workflow_handle(run_id).describe()
    info = described.raw_description.workflow_execution_info.versioning_info
    version = info.versioning_override.pinned.version
    if not version.build_id:
        version = info.deployment_version
    if not version.build_id:
        return None
    if _alive(await _queue(client, task_queue), version.deployment_name, version.build_id):
        return None
    build_id = version.build_id
    return (
        f"it began with version {build_id}, whose workers are gone: start them again, or "
        f"`taskflow versions move {build_id}`"
    )


async def _queue(client: Client, task_queue: str) -> DescribeTaskQueueResponse:
    return await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
    )


def _name_in(queue: DescribeTaskQueueResponse) -> str | None:
    """Of the deployment that gets the queue's work, or else of one whose workers ask for it."""
    current: str = queue.versioning_info.current_deployment_version.deployment_name
    names = sorted(
        poller.deployment_options.deployment_name
        for poller in queue.pollers
        if poller.deployment_options.worker_versioning_mode == _VERSIONED
    )
    return current or next(iter(names), None)


def _alive(queue: DescribeTaskQueueResponse, name: str, build_id: str | None) -> int:
    """Worker processes that ask for a version's work; None: for that of no version."""
    since = datetime.now(UTC) - ALIVE
    found = set()
    for poller in queue.pollers:
        if poller.last_access_time.ToDatetime(UTC) < since:
            continue
        options = poller.deployment_options
        versioned = options.worker_versioning_mode == _VERSIONED
        of_it = versioned and (options.deployment_name, options.build_id) == (name, build_id)
        if of_it or (build_id is None and not versioned):
            found.add(poller.identity)
    return len(found)


async def _version(
    client: Client,
    name: str,
    info: WorkerDeploymentInfo,
    summary: WorkerDeploymentInfo.WorkerDeploymentVersionSummary,
    queue: DescribeTaskQueueResponse,
) -> Version:
    build_id = summary.deployment_version.build_id
    open_of_it = _open_of(name, build_id)
    runs, oldest = await _runs(client, open_runs(name, build_id))
    every = (await client.count_workflows(open_of_it)).count
    routing = info.routing_config
    ramping = routing.ramping_deployment_version.build_id == build_id
    return Version(
        build_id,
        _status(summary.status, runs),
        routing.ramping_version_percentage if ramping else None,
        _alive(queue, name, build_id),
        runs,
        max(0, every - runs),
        oldest,
    )


async def _unversioned(
    client: Client, queue: DescribeTaskQueueResponse, *, routed: bool
) -> Version:
    """Their runs go on with the current version, if there is one: nothing waits for them then."""
    none = f"{_OPEN} AND TemporalWorkerDeploymentVersion IS NULL"
    runs, oldest = await _runs(client, f"{none} AND WorkflowType = '{TASK_RUN}'")
    every = (await client.count_workflows(none)).count
    status = Status.INACTIVE if routed else Status.CURRENT
    workers = _alive(queue, "", None)
    return Version(UNVERSIONED, status, None, workers, runs, max(0, every - runs), oldest)


async def _runs(client: Client, query: str) -> tuple[int, datetime | None]:
    """How many, and when the oldest of them began; None where they are too many to look at."""
    count = (await client.count_workflows(query)).count
    if not 0 < count <= LOOKED_AT:
        return count, None
    started = [found.start_time async for found in client.list_workflows(query)]
    return count, min(started, default=None)


def _status(said: WorkerDeploymentVersionStatus.ValueType, runs: int) -> Status:
    """By our own count: Temporal's drainage lags by minutes, and looks at nothing else either."""
    known = WorkerDeploymentVersionStatus
    if said == known.WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT:
        return Status.CURRENT
    if said == known.WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING:
        return Status.RAMPING
    if runs:
        return Status.DRAINING
    drained = (
        known.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING,
        known.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED,
    )
    return Status.DRAINED if said in drained else Status.INACTIVE


def open_runs(name: str, build_id: str) -> str:
    """The query for the open runs of a version."""
    return f"{_open_of(name, build_id)} AND WorkflowType = '{TASK_RUN}'"


def _open_of(name: str, build_id: str) -> str:
    return f"{_OPEN} AND TemporalWorkerDeploymentVersion = '{name}:{_quoted(build_id)}'"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
