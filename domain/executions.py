"""Reports of plugins about executions that they accepted: what they say, and who may say it."""

from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from domain.events_out import Published
from domain.payload import Payload
from domain.task import Model

_NONCE_BYTES = 16


class ExecutionReport(Model):
    """The data of a `task.execution.updated` from a plugin.

    `run_id`, `attempt` and `nonce` are those of the execute call; `sequence` grows with each report
    of an attempt. RUNNING is a heartbeat, the others are final. `progress`: any JSON, shown as is.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    run_id: Annotated[str, Field(min_length=1, max_length=1000)]
    attempt: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    nonce: Annotated[str, Field(min_length=1, max_length=64)]
    sequence: Annotated[int, Field(strict=True, ge=0, le=2**53)]
    status: Literal["RUNNING", "SUCCESS", "FAILED"]
    progress: JsonValue = None
    result: JsonValue = None
    error_code: Annotated[str, Field(max_length=128)] | None = None
    message: Annotated[str, Field(max_length=4000)] | None = None
    retryable: bool = True


class Progress(Payload):
    """Heartbeat details of an accepted execution: the newest that its plugin said.

    `compensates`: the call undoes a run, so that `attempt` counts among such calls. `retries`:
    whether `task-retry-queue` was on when it was accepted. `published`: what became of the state
    changes that were told meanwhile; the result of the execution carries it on. `secrets`: the
    names of those that the plugin was given, which no report of its may give away.
    """

    attempt: int
    accepted: bool = True
    sequence: int = -1
    progress: JsonValue = None
    message: str | None = None
    compensates: bool = False
    accepted_at: datetime | None = None
    retries: bool = True
    published: Published | None = None
    secrets: tuple[str, ...] = ()


COMPENSATION_SUFFIX = "/compensation"
"""What a plugin gets as `run_id`, and as key, of the call that compensates a run, ends in this."""


def compensation_key(run_id: str) -> str:
    """The run id that the compensating call carries, and its idempotency key."""
    return f"{run_id}{COMPENSATION_SUFFIX}"


def run_of_key(key: str) -> tuple[str, bool]:
    """(run id, whether it is about the compensation) of what a plugin calls its run id."""
    if key.endswith(COMPENSATION_SUFFIX):
        return key.removesuffix(COMPENSATION_SUFFIX), True
    return key, False


def nonce_of(temporal_run_id: str, key: str, attempt: int) -> str:
    """What only the plugin that got this attempt can know, and every process can work out.

    `key`: the run id as the plugin got it.
    """
    text = f"nonce\n{temporal_run_id}\n{key}\n{attempt}"
    return blake2b(text.encode(), digest_size=_NONCE_BYTES).hexdigest()
