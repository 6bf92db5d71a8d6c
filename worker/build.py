"""A worker with the options that all of ours have."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

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
    pure: Sequence[str] = (),
) -> Worker:
    """A worker with the options that all of ours have; `pure` as in `sandboxed_runner`."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=workflows,
        activities=activities,
        workflow_runner=sandboxed_runner(*pure),
        max_concurrent_activities=MAX_CALLS,
        graceful_shutdown_timeout=GRACE,
    )


def sandboxed_runner(*pure: str) -> SandboxedWorkflowRunner:
    """Temporal's workflow sandbox; our modules and those of `pure` are loaded once for all runs."""
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(
            "domain", "workflows", "yaml", "pydantic", *pure
        )
    )
