"""What a kind of run has to say of itself."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowHandle

TENANT = "bench"
PLUGIN = "bench"
RETRIED = "bench-retried"
ACCEPTED = "bench-accepted"
FAILS_ONCE = ("503", "ok")
BACK_OFF = timedelta(milliseconds=100)
"""The wait before the second attempt of what fails once: the shortest that a task may have."""
PARAMS = {"scope": "all"}
"""Every scenario calls a plugin with these parameters: the call is the same for all."""


@dataclass(frozen=True)
class Scenario:
    """One kind of run, each of which calls the sandbox with its own id as the key.

    `name` is for JSON, `title` for the table. `start` starts the run whose id ends in a key that is
    unique in the benchmark; `benchmarks.worker` executes it. `prepare` is done once, before all.
    `plugin` is called as often as `script` has words, and they are what comes of the calls.
    """

    name: str
    title: str
    start: Callable[[Client, str], Awaitable[WorkflowHandle[Any, Any]]]
    prepare: Callable[[Client], Awaitable[None]] | None = None
    plugin: str = PLUGIN
    script: tuple[str, ...] = ("ok",)
