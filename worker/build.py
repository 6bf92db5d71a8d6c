"""A worker with the options that all of ours have."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner

GRACE = timedelta(seconds=20)
"""How long calls that are open at SIGTERM may take; after that they are cancelled and retried."""
MAX_CALLS = 500
"""Plugin calls open at once: they wait on sockets, so memory is the limit and not cores."""


def new_worker(
    client: Client,
    *,
    task_queue: str,
    workflows: Sequence[type],
    activities: Sequence[Callable[..., Any]],
    runner: WorkflowRunner | None = None,
) -> Worker:
    """A worker with the options that all of ours have; `runner` is `workflow_runner()` if None."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=workflows,
        activities=activities,
        workflow_runner=runner or workflow_runner(),
        max_concurrent_activities=MAX_CALLS,
        graceful_shutdown_timeout=GRACE,
    )


def workflow_runner() -> WorkflowRunner:
    """What executes workflow code: without the SDK's sandbox, which costs a third of a run.

    It would proxy the clock, chance and I/O of modules that it loads again for every run. Ours are
    loaded once for all, so it would see nothing of them; a test reads their source instead.
    """
    return UnsandboxedWorkflowRunner()
