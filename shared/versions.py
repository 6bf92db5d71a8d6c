"""Versions of workers: which there are, what each still has to finish, and whether it can."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from temporalio.api.deployment.v1 import WorkerDeploymentInfo
from temporalio.api.enums.v1 import (
    TaskQueueType,
    WorkerDeploymentVersionStatus,
    WorkerVersioningMode,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentResponse,
)
from temporalio.client import Client
from temporalio.service import RPCError

from domain.attributes import TASK_RUN
from shared.calls import is_missing

UNVERSIONED = "unversioned"
"""What workers without a deployment are called where a build id is wanted."""
ALIVE = timedelta(seconds=70)
"""A worker that waits for work asks for it once a minute; one that does not any more is gone."""
LOOKED_AT = 1000
"""Runs of a version whose start is looked at."""
_OPEN = "ExecutionStatus = 'Running'"
_VERSIONED = WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED


class Status(StrEnum):
    """What a version is given: all new work, a share of it, the rest of its own, nothing (yet)."""

    CURRENT = "current"
    RAMPING = "ramping"
    DRAINING = "draining"
    DRAINED = "drained"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Version:
    """`runs` can be finished by its workers alone; `others` have taken their last step with it.

    `oldest` is the start of the oldest of those runs.
    """

    build_id: str
    status: Status
    ramp: float | None
    workers: int
    runs: int
    others: int
    oldest: datetime | None = None

    @property
    def safe_to_stop(self) -> bool:
        """Whether nothing needs its workers any more."""
        return self.status in (Status.DRAINED, Status.INACTIVE)

    @property
    def stranded(self) -> bool:
        """Whether something needs its workers, and there is none."""
        routed = self.status in (Status.CURRENT, Status.RAMPING)
        return not self.workers and (routed or self.status is Status.DRAINING)

    @property
    def trouble(self) -> str:
        """What it means that it is stranded, and what to do."""
        if self.build_id == UNVERSIONED:
            return "no version is current, so that new runs wait: `taskflow versions use BUILD_ID`"
        if self.status is not Status.DRAINING:
            return (
                f"no worker of {self.build_id} asks for work, and new runs go to it: start them, "
                "or give new runs to another version (`taskflow versions use`)"
            )
        return (
            f"{self.runs} open runs wait for workers of {self.build_id}, and there are none: start "
            f"them again, or `taskflow versions move {self.build_id}`"
        )

    def as_json(self) -> dict[str, Any]:
        """A row of the document of `versions`."""
        return {
            "build_id": self.build_id,
            "status": self.status.value,
            "ramp_percent": self.ramp,
            "workers": self.workers,
            "open_runs": self.runs,
            "oldest_run_started_at": self.oldest.isoformat() if self.oldest else None,
            "open_others": self.others,
            "safe_to_stop": self.safe_to_stop,
            "stranded": self.stranded,
        }


@dataclass(frozen=True, slots=True)
class Deployment:
    """`name` is None when no worker is versioned."""

    name: str | None
    versions: tuple[Version, ...]

    @property
    def current(self) -> Version:
        """What gets new work."""
        return next(version for version in self.versions if version.status is Status.CURRENT)

    def troubles(self) -> list[str]:
        """What keeps runs waiting, and workers that get nothing."""
        if self.name is None:
            return []
        found = [version.trouble for version in self.versions if version.stranded]
        idle = sum(row.workers for row in self.versions if row.build_id == UNVERSIONED)
        if idle and self.current.build_id != UNVERSIONED:
            found.append(
                f"{idle} workers are not versioned, and get no work: start them with "
                f"TASKFLOW_DEPLOYMENT={self.name}, or stop them"
            )
        return found

    def told(self) -> str:
        """Every version that matters, in one line."""
        if self.name is None:
            return "workers are not versioned"
        said = []
        for version in self.versions:
            share = f" {version.ramp:g} %" if version.ramp is not None else ""
            if version.status in (Status.CURRENT, Status.RAMPING):
                said.append(f"{version.build_id} is {version.status}{share}")
            elif version.status is Status.DRAINING:
                said.append(f"{version.build_id} drains: {version.runs} open runs")
        return f"deployment {self.name}: {', '.join(said)}"

    def as_json(self) -> dict[str, Any]:
        """The document of `versions`."""
        return {
            "deployment": self.name,
            "versions": [version.as_json() for version in self.versions],
        }


async def deployment_of(client: Client, name: str | None, task_queue: str) -> Deployment:
    """The deployment of this name, or of whoever works on the queue; newest versions first.

    Errors: `RPCError`.
    """
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


async def name_on(client: Client, task_queue: str) -> str | None:
    """The name of the deployment of whoever works on the queue. Errors: `RPCError`."""
    return _name_in(await _queue(client, task_queue))


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


async def describe(client: Client, name: str) -> DescribeWorkerDeploymentResponse | None:
    """What Temporal knows of a deployment; None when it was never seen. Errors: `RPCError`."""
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=name)
    try:
        return await client.workflow_service.describe_worker_deployment(request)
    except RPCError as error:
        if not is_missing(error):
            raise
        return None
