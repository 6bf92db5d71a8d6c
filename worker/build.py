"""A worker with the options that all of ours have."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import (
    PollerBehavior,
    PollerBehaviorSimpleMaximum,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkerTuner,
    WorkflowRunner,
)

from shared.builds import Build

GRACE = timedelta(seconds=20)
"""How long calls that are open at SIGTERM may take; after that they are cancelled and retried."""
MAX_CALLS = 500
"""Plugin calls open at once: they wait on sockets, so memory is the limit and not cores."""
CANCELS_WITHIN = timedelta(seconds=8)
"""Temporal tells a call in answer to a heartbeat that it is cancelled: none is held back longer."""
POLLERS = PollerBehaviorSimpleMaximum()


def new_worker(
    client: Client,
    *,
    task_queue: str,
    workflows: Sequence[type],
    activities: Sequence[Callable[..., Any]],
    runner: WorkflowRunner | None = None,
    tuner: WorkerTuner | None = None,
    pollers: PollerBehavior = POLLERS,
    build: Build | None = None,
    pinned: bool = False,
) -> Worker:
    """A worker with the options that all of ours have.

    `runner` is `workflow_runner()` if None, and the `tuner` one with `MAX_CALLS` slots. `pollers`
    are those for activities. It is versioned if its `build` names a deployment,
    and then its workflows are `pinned`: each stays with the version that it began with.
    """
    return Worker(
        client,
        task_queue=task_queue,
        workflows=workflows,
        activities=activities,
        workflow_runner=runner or workflow_runner(),
        max_concurrent_activities=None if tuner else MAX_CALLS,
        tuner=tuner,
        activity_task_poller_behavior=pollers,
        max_heartbeat_throttle_interval=CANCELS_WITHIN,
        graceful_shutdown_timeout=GRACE,
        deployment_config=versioning_of(build, pinned=pinned),
    )


def versioning_of(build: Build | None, *, pinned: bool = False) -> WorkerDeploymentConfig | None:
    """How Temporal tells workers of one version from those of another; None: not at all.

    What is not pinned goes on with the current version from its next step. Said here and not beside
    each workflow: Temporal refuses every step of a worker without versions whose workflow says it.
    """
    if build is None or build.deployment is None:
        return None
    behavior = VersioningBehavior.PINNED if pinned else VersioningBehavior.AUTO_UPGRADE
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(build.deployment, build.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=behavior,
    )


def workflow_runner() -> WorkflowRunner:
    """What executes workflow code: without the SDK's sandbox, which costs a third of a run.

    It would proxy the clock, chance and I/O of modules that it loads again for every run. Ours are
    loaded once for all, so it would see nothing of them; a test reads their source instead.
    """
    return UnsandboxedWorkflowRunner()
