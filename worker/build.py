"""A worker with the options that all of ours have."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import (
    PollerBehavior,
    PollerBehaviorSimpleMaximum,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerTuner,
    WorkflowRunner,
)

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
) -> Worker:
    """A worker with the options that all of ours have.

    `runner` is `workflow_runner()` if None, and the `tuner` one with `MAX_CALLS` slots. `pollers`
    are those for activities.
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
    )


def workflow_runner() -> WorkflowRunner:
    """What executes workflow code: without the SDK's sandbox, which costs a third of a run.

    It would proxy the clock, chance and I/O of modules that it loads again for every run. Ours are
    loaded once for all, so it would see nothing of them; a test reads their source instead.
    """
    return UnsandboxedWorkflowRunner()
