"""A run's service level: by when it starts and finishes, what is due when, and how it ended.

Pure: time is an argument. The clock of a run begins at its trigger time, whatever gets round to the
run later.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from domain.notices import BreachKind
from domain.states import RunState
from domain.task import Sla


class SlaStatus(StrEnum):
    """`SlaStatus` of a run: the worst that is so."""

    MET = "MET"
    WARNED = "WARNED"
    START_BREACHED = "START_BREACHED"
    FINISH_BREACHED = "FINISH_BREACHED"
    BREACHED = "BREACHED"


BREACHES = frozenset({SlaStatus.START_BREACHED, SlaStatus.FINISH_BREACHED, SlaStatus.BREACHED})
"""Those that count for consecutive breaches."""

_UNJUDGED = frozenset({RunState.SKIPPED, RunState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Due:
    """A notice that is due: what, what was expected by when, and why it is known."""

    kind: BreachKind
    expected_by: datetime
    message: str


@dataclass(slots=True)
class SlaClock:
    """The deadlines of one run. `expected`: how long it will take, when that is known."""

    sla: Sla
    since: datetime
    started: datetime | None = None
    expected: timedelta | None = None
    raised: set[BreachKind] = field(default_factory=set)
    stopped_at: datetime | None = None

    @property
    def start_by(self) -> datetime:
        """Until when the run must have started."""
        return self.since + self.sla.start_within

    @property
    def warn_at(self) -> datetime:
        """From when on it is close."""
        return self.since + self.sla.finish_within * self.sla.warn_at

    @property
    def finish_by(self) -> datetime:
        """Until when it must have finished."""
        return self.since + self.sla.finish_within

    def stop(self, now: datetime) -> None:
        """The run is held, and its SLA says that the clock stops meanwhile."""
        if self.sla.while_paused == "stops" and self.stopped_at is None:
            self.stopped_at = now

    def go_on(self, now: datetime) -> None:
        """The run goes on: its deadlines are later by as long as it was held."""
        if self.stopped_at is not None:
            self.since += now - self.stopped_at
            self.stopped_at = None

    def next_at(self) -> datetime | None:
        """When there is something to look at next; None when nothing is left, or the clock stands.

        It may be past.
        """
        if self.stopped_at is not None:
            return None
        times = []
        if self.started is None and BreachKind.START not in self.raised:
            times.append(self.start_by)
        if BreachKind.FINISH not in self.raised:
            times.append(self.finish_by)
            if BreachKind.WARNING not in self.raised:
                times.append(min(self.warn_at, self._foreseen() or self.warn_at))
        return min(times, default=None)

    def due(self, now: datetime) -> list[Due]:
        """What is due by now and was not before; whoever asks raises it.

        A warning whose breach is due as well is left out: it is too late for one.
        """
        if self.stopped_at is not None:
            return []
        found = []
        if self.started is None and self.start_by <= now:
            found.append(self._start_due())
        if self.finish_by <= now:
            found.append(Due(BreachKind.FINISH, self.finish_by, "it has not finished in time"))
        elif self.warn_at <= now:
            share = f"{self.sla.warn_at:.0%}"
            text = f"it has not finished, and {share} of its time is over"
            found.append(Due(BreachKind.WARNING, self.finish_by, text))
        elif (foreseen := self._foreseen()) and foreseen <= now:
            text = f"it will not finish in time: it usually takes up to {_told(self.expected)}"
            found.append(Due(BreachKind.WARNING, self.finish_by, text))
        new = [due for due in found if due.kind not in self.raised]
        self.raised.update(due.kind for due in found)
        return new

    def end(self, now: datetime, state: RunState) -> list[Due]:
        """What is due when the run ends so; a run that failed can no longer finish in time.

        What people or rules decided not to run is not judged beyond what has come to pass.
        """
        self.go_on(now)
        if state is RunState.MISSED:
            new = [] if BreachKind.START in self.raised else [self._start_due()]
            self.raised.add(BreachKind.START)
            return new
        if state in _UNJUDGED:
            return []
        new = [due for due in self.due(now) if due.kind is not BreachKind.WARNING]
        failed = state in (RunState.FAILED, RunState.COMPENSATED)
        if failed and BreachKind.FINISH not in self.raised:
            self.raised.add(BreachKind.FINISH)
            new.append(Due(BreachKind.FINISH, self.finish_by, "it failed, and will not finish"))
        return new

    def status(self, *, ended: RunState | None = None) -> SlaStatus | None:
        """What the run shows; None when there is nothing to say."""
        start, finish = BreachKind.START in self.raised, BreachKind.FINISH in self.raised
        if start and finish:
            return SlaStatus.BREACHED
        if start or finish:
            return SlaStatus.START_BREACHED if start else SlaStatus.FINISH_BREACHED
        if ended is not None and ended is not RunState.SUCCESS:
            return None
        if BreachKind.WARNING in self.raised:
            return SlaStatus.WARNED
        return SlaStatus.MET if ended else None

    def _start_due(self) -> Due:
        return Due(BreachKind.START, self.start_by, "it has not started in time")

    def _foreseen(self) -> datetime | None:
        """From when on it is known that it will finish too late."""
        if self.expected is None:
            return None
        if self.started is None:
            return self.finish_by - self.expected
        late = self.started + self.expected > self.finish_by
        return self.started if late else None


def _told(length: timedelta | None) -> str:
    return f"{(length or timedelta(0)).total_seconds():g} s"
