"""What every line of a log about a run says of it."""

from datetime import datetime
from typing import Protocol, TypedDict

from domain.states import RunState


class RunLine(TypedDict):
    """Fields of a line; what nobody knows yet, or what whoever logs cannot know, is null."""

    task_id: str | None
    tenant_id: str | None
    run_id: str
    trigger_time: datetime | None
    actual_start: datetime | None
    duration_ms: int | None
    status: RunState | None
    retry_count: int | None
    error_code: str | None
    trace_id: str | None


RUN_FIELDS = tuple(RunLine.__annotations__)


class TellsItsLine(Protocol):
    """A run's workflow knows all of them."""

    def run_line(self) -> RunLine:
        """As it is now."""
