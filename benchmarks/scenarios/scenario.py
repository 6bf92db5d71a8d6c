"""What a kind of run has to say of itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client, WorkflowHandle

TENANT = "bench"
PLUGIN = "bench"
PARAMS = {"scope": "all"}
"""Every scenario calls this plugin with these parameters: the call is the same for all."""


@dataclass(frozen=True)
class Scenario:
    """One kind of run, each of which makes one call to the sandbox with its own id as the key.

    `name` is for JSON, `title` for the table. `start` starts the run whose id ends in a key that is
    unique in the benchmark; `benchmarks.worker` executes it. `prepare` is done once, before all.
    """

    name: str
    title: str
    start: Callable[[Client, str], Awaitable[WorkflowHandle[Any, Any]]]
    prepare: Callable[[Client], Awaitable[None]] | None = None
