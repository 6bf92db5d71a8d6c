"""What the work of a plugin gets to see of the call that asks for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from pluginkit.requests import Execution

Tell = Callable[[JsonValue, str | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One execution. `key` is the same for all attempts of it, and of nothing else.

    `compensates` names the run whose work is to be undone; it is None in all other calls.
    """

    plugin_id: str
    execution: Execution
    traceparent: str
    tell: Tell = field(repr=False)

    @property
    def key(self) -> str:
        """The idempotency key, and what the scheduler calls the run."""
        return self.execution.run_id

    @property
    def attempt(self) -> int:
        """Counts from 1; the one that began the work, whichever come while it is done."""
        return self.execution.attempt

    @property
    def tenant_id(self) -> str:
        """Whose task it is."""
        return self.execution.tenant_id

    @property
    def task_id(self) -> str:
        """The task that is run."""
        return self.execution.task_id

    @property
    def params(self) -> dict[str, JsonValue]:
        """As in the task file."""
        return self.execution.params

    @property
    def trigger(self) -> dict[str, Any]:
        """`kind`, `nominal_time`, `trigger_time` and `payload`."""
        trigger: dict[str, Any] = self.execution.trigger
        return trigger

    @property
    def fence(self) -> int:
        """Pass it on to what you write to: it can refuse a fence below one that it has seen.

        It stays what it was when the work began. A later attempt may have come with a higher one,
        but somebody else may have held the lock in between.
        """
        return self.execution.fence

    @property
    def deadline(self) -> datetime:
        """When this attempt is given up; the work is cancelled then, unless another has come."""
        return self.execution.deadline

    @property
    def left(self) -> float:
        """Seconds to the deadline."""
        return self.execution.left(datetime.now(UTC))

    @property
    def compensates(self) -> str | None:
        """The run that this call undoes."""
        return self.execution.compensates

    async def progress(self, progress: JsonValue = None, message: str | None = None) -> None:
        """Say how far the work is: any JSON up to 16 KiB, and a line for people.

        It does not wait for the scheduler; what is said in quick succession is told together.
        Errors: `ValueError` for what no report can carry.
        """
        await self.tell(progress, message)
