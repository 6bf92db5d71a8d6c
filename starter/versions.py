"""Versions of workers: what each is given, and giving it to another one."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from temporalio.api.enums.v1 import RoutingConfigUpdateState
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    DescribeWorkerDeploymentResponse,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from shared.calls import is_missing
from shared.errors import NotFound, Refused
from starter.rpc import temporal_errors

UNVERSIONED = "unversioned"
"""What workers without a deployment are called where a build id is wanted."""
_SPREAD_WITHIN = 10.0
"""Seconds in which all parts of all task queues have heard of a change."""


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


async def use_version(
    client: Client, name: str, build_id: str, *, ramp: float | None = None
) -> None:
    """Give a version all new work, or a share in percent; the word is through when this returns.

    With all of it, no other version keeps a share. Errors: `NotFound`, `Refused`,
    `TemporalUnreachable`.
    """
    nobody = f"deployment {name!r} has no version {build_id!r}: start its workers first"
    with temporal_errors(missing=nobody):
        found = await describe(client, name)
        if found is None:
            raise NotFound(nobody)
        routing = found.worker_deployment_info.routing_config
        build = "" if build_id == UNVERSIONED else build_id
        try:
            if ramp is not None:
                await _ramp(client, name, build, ramp, found.conflict_token)
            else:
                token = await _make_current(client, name, build, found.conflict_token)
                if routing.ramping_version_percentage:
                    await _ramp(client, name, "", 0, token)
        except RPCError as error:
            if error.status in (
                RPCStatusCode.FAILED_PRECONDITION,
                RPCStatusCode.INVALID_ARGUMENT,
            ):
                raise Refused(
                    f"Temporal does not route work to {build_id!r}: {error.message}"
                ) from error
            raise
        await _spread(client, name)


async def _make_current(client: Client, name: str, build_id: str, token: bytes) -> bytes:
    request = SetWorkerDeploymentCurrentVersionRequest(
        namespace=client.namespace,
        deployment_name=name,
        build_id=build_id,
        identity=client.identity,
        conflict_token=token,
    )
    answer = await client.workflow_service.set_worker_deployment_current_version(request)
    changed: bytes = answer.conflict_token
    return changed


async def _ramp(client: Client, name: str, build_id: str, percent: float, token: bytes) -> None:
    request = SetWorkerDeploymentRampingVersionRequest(
        namespace=client.namespace,
        deployment_name=name,
        build_id=build_id,
        percentage=percent,
        identity=client.identity,
        conflict_token=token,
    )
    await client.workflow_service.set_worker_deployment_ramping_version(request)


async def _spread(client: Client, name: str) -> None:
    """Return when the change has arrived everywhere, or would have long ago."""
    end = time.monotonic() + _SPREAD_WITHIN
    doing = RoutingConfigUpdateState.ROUTING_CONFIG_UPDATE_STATE_IN_PROGRESS
    while time.monotonic() < end:
        found = await describe(client, name)
        if found is None or found.worker_deployment_info.routing_config_update_state != doing:
            return
        await asyncio.sleep(0.1)


async def describe(client: Client, name: str) -> DescribeWorkerDeploymentResponse | None:
    """What Temporal knows of a deployment; None when it was never seen. Errors: `RPCError`."""
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=name)
    try:
        return await client.workflow_service.describe_worker_deployment(request)
    except RPCError as error:
        if not is_missing(error):
            raise
        return None
