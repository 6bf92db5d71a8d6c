"""Moving open runs from one version of the workers to another that can go on with them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.deployment.v1 import WorkerDeploymentVersion
from temporalio.api.workflow.v1 import VersioningOverride, WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionOptionsRequest
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError

from shared.builds import build_of
from shared.calls import is_missing
from shared.errors import NotFound, Refused
from shared.settings import Settings
from shared.versions import open_runs
from starter.replaying import Broken, replay
from starter.rpc import temporal_errors
from starter.versions import deployment_of, name_of

_PINNED = VersioningOverride.PinnedOverrideBehavior.PINNED_OVERRIDE_BEHAVIOR_PINNED


@dataclass(frozen=True, slots=True)
class Moved:
    """Runs that go on with the version `to`, and those that would break there."""

    to: str
    moved: list[str] = field(default_factory=list)
    stay: list[Broken] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The document of `versions move`."""
        return {
            "to": self.to,
            "moved": self.moved,
            "stay": [broken.as_json() for broken in self.stay],
        }


async def move_runs(
    client: Client, settings: Settings, build_id: str, *, to: str | None, deployment: str | None
) -> Moved:
    """Each open run of a version, after a replay with the code of this installation.

    Errors: `Refused` when that is not the code of the version to move to, `NotFound`.
    """
    name = await name_of(client, deployment, settings.task_queue)
    found = await deployment_of(client, name, settings.task_queue)
    target = to or found.current.build_id
    here = build_of(settings).build_id
    known = {version.build_id for version in found.versions}
    if missing := {build_id, target} - known:
        raise NotFound(f"deployment {name!r} has no version {', '.join(sorted(missing))}")
    if target != here:
        raise Refused(
            f"this installation is build {here}, and cannot tell what {target} makes of a run: "
            f"run the command where {target} is installed"
        )
    if target == build_id:
        raise Refused(f"the runs of {build_id} are there already")
    moved = Moved(target)
    with temporal_errors():
        async for run_id, why in replay(client, _histories(client, name, build_id)):
            if why:
                moved.stay.append(Broken(run_id, why))
            elif await _move(client, run_id, name, target):
                moved.moved.append(run_id)
    return moved


async def _histories(client: Client, name: str, build_id: str) -> AsyncIterator[WorkflowHistory]:
    listed = [found async for found in client.list_workflows(open_runs(name, build_id))]
    for found in listed:
        handle = client.get_workflow_handle(found.id, run_id=found.run_id)
        try:
            yield await handle.fetch_history()
        except RPCError as error:
            if not is_missing(error):
                raise


async def _move(client: Client, run_id: str, name: str, build_id: str) -> bool:
    """Whether the run is open still, and so goes on there."""
    version = WorkerDeploymentVersion(deployment_name=name, build_id=build_id)
    pinned = VersioningOverride.PinnedOverride(version=version, behavior=_PINNED)
    try:
        await client.workflow_service.update_workflow_execution_options(
            UpdateWorkflowExecutionOptionsRequest(
                namespace=client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=run_id),
                workflow_execution_options=WorkflowExecutionOptions(
                    versioning_override=VersioningOverride(pinned=pinned)
                ),
                update_mask=FieldMask(paths=["versioning_override"]),
            )
        )
    except RPCError as error:
        if not is_missing(error):
            raise
        return False
    return True
