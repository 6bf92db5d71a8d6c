"""Giving new runs to another version of the workers."""

import asyncio
import time

from temporalio.api.enums.v1 import RoutingConfigUpdateState
from temporalio.api.workflowservice.v1 import (
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from shared import versions
from shared.errors import NotFound, Refused
from shared.versions import UNVERSIONED, Deployment, describe
from starter.rpc import temporal_errors

_SPREAD_WITHIN = 10.0
"""Seconds in which all parts of all task queues have heard of a change."""


async def deployment_of(client: Client, name: str | None, task_queue: str) -> Deployment:
    """`shared.versions.deployment_of`. Errors: `TemporalUnreachable`, `TaskflowError`."""
    with temporal_errors():
        return await versions.deployment_of(client, name, task_queue)


async def name_of(client: Client, name: str | None, task_queue: str) -> str:
    """The name, or that of the deployment of whoever works on the queue. Errors: `Refused`."""
    with temporal_errors():
        found = name or await versions.name_on(client, task_queue)
    if found is None:
        raise Refused(
            f"no worker of task queue {task_queue!r} is versioned: start workers with "
            "TASKFLOW_DEPLOYMENT, or name the deployment with --deployment"
        )
    return found


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
