"""What a run tells the outside, recorded: cancellations, notices, state changes."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity

from domain.attributes import (
    CANCEL_EXECUTION,
    EXPECT_DURATION,
    PUBLISH_CHANGES,
    RAISE_NOTICES,
    READ_FLAGS,
)
from domain.durations import Expectation, ExpectInput
from domain.events_out import Published, RunChanges, StateChange
from domain.notices import BreachKind, NoticeInput, Raised, RaiseInput
from domain.run import CancelInput, FlagsInput, FlagsNow
from domain.states import RunState


@dataclass(slots=True)
class Outside:
    """Implements the activities by which a run reaches beyond its plugin.

    `listening`: whether somebody wants state changes. `p95_s`: what runs are told of themselves.
    `cancelled` gets called with every cancellation, by task id.
    """

    listening: bool = False
    p95_s: float | None = None
    flags: FlagsNow = field(default_factory=FlagsNow)
    notices: defaultdict[str, list[NoticeInput]] = field(default_factory=lambda: defaultdict(list))
    changes: defaultdict[str, list[StateChange]] = field(default_factory=lambda: defaultdict(list))
    publications: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    cancels: defaultdict[str, list[CancelInput]] = field(default_factory=lambda: defaultdict(list))
    on_cancel: dict[str, Callable[[], None]] = field(default_factory=dict)

    def activities(self) -> list[Callable[..., Any]]:
        """For a worker's list."""
        return [
            self.cancel_execution,
            self.raise_notices,
            self.publish_changes,
            self.read_flags,
            self.expect_duration,
        ]

    @activity.defn(name=CANCEL_EXECUTION)
    async def cancel_execution(self, request: CancelInput) -> None:
        """The plugin was told."""
        self.cancels[request.task_id].append(request)
        if told := self.on_cancel.get(request.task_id):
            told()

    @activity.defn(name=RAISE_NOTICES)
    async def raise_notices(self, request: RaiseInput) -> Raised:
        """Somebody will be told."""
        monitored = self.flags.task_sla_monitor
        for notice in request.notices:
            if monitored or notice.breach.kind is BreachKind.FAILED:
                self.notices[notice.breach.task_id].append(notice)
        return Raised(monitored=monitored)

    @activity.defn(name=PUBLISH_CHANGES)
    async def publish_changes(self, request: RunChanges) -> Published:
        """Whoever listens hears it."""
        return self.hear(request)

    def hear(self, request: RunChanges | None) -> Published:
        """State changes that came by whatever way."""
        if request:
            self.changes[request.task_id] += request.changes
            self.publications[request.task_id] += 1
        return Published(sinks=self.listening)

    @activity.defn(name=READ_FLAGS)
    async def read_flags(self, request: FlagsInput) -> FlagsNow:
        """As the test says."""
        return self.flags

    @activity.defn(name=EXPECT_DURATION)
    async def expect_duration(self, request: ExpectInput) -> Expectation:
        """As the test says."""
        return Expectation(p95_s=self.p95_s)

    def kinds(self, task_id: str) -> list[str]:
        """The kinds of a task's notices, in order."""
        return [notice.breach.kind.value for notice in self.notices[task_id]]

    def told(self, task_id: str) -> list[StateChange]:
        """The changes of a task's run, each once; what is told again is the same again.

        But for the time: a workflow task that Temporal has made again is a little later.
        """
        known: dict[int, StateChange] = {}
        for change in self.changes[task_id]:
            first = known.setdefault(change.sequence, change)
            assert change.model_copy(update={"at": first.at}) == first
        assert list(known) == list(range(1, len(known) + 1)), "in order and without gaps"
        return list(known.values())

    def statuses(self, task_id: str) -> list[str]:
        """The states that were told of a task's run, in order."""
        return [change.status.value for change in self.told(task_id)]

    def moves(self, task_id: str) -> set[tuple[RunState, RunState]]:
        """The (previous, status) pairs that were told; each move begins where the last ended."""
        told = self.told(task_id)
        assert [change.previous for change in told] == [
            None,
            *(change.status for change in told[:-1]),
        ]
        return {(change.previous, change.status) for change in told if change.previous}
