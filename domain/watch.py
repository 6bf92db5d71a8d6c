"""What the watch makes of each fire that was due: judged once, by rules that read in order."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import Field

from domain.agenda import Fire, Key
from domain.duration import format_duration
from domain.payload import Payload
from domain.states import RunState
from domain.task import Task

GRACE = timedelta(seconds=20)
"""Fires are judged when they are this old: Temporal's lists lag behind by a second or so."""
TOLERANCE = timedelta(seconds=60)
"""A run that started within this of its trigger time is on time."""
WINDOW = timedelta(hours=1)
"""The longest time that one activity judges; after an outage there are several."""
MOST_RECORDS = 10
"""Runs that are made for one task and window only to say that a fire did not happen."""
MOST_FINDINGS = 20
"""Sentences in a result; the log has all."""


class Verdict(StrEnum):
    """What became of a fire."""

    ON_TIME = "on_time"
    LATE = "late"
    WAITING = "waiting"
    STARTED = "started"
    MISSED = "missed"
    SKIPPED = "skipped"


RECORDS = {Verdict.MISSED: RunState.MISSED, Verdict.SKIPPED: RunState.SKIPPED}
"""Verdicts that are shown as a run which calls no plugin, and the state that it ends in."""


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run as Temporal's list has it; `record`: it only says that a fire did not happen."""

    run_id: str
    scheduled_time: datetime
    actual_start: datetime | None
    closed_at: datetime | None = None
    is_open: bool = True
    record: bool = False
    trigger_time: datetime | None = None
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a fire that has no run; `more` fires have no record of their own."""

    fire: Fire
    verdict: Verdict
    reason: str
    more: int = 0


class Counts(Payload):
    """Numbers of one tick, or of all: `due` is the sum of the six after it.

    `on_time`, `late`: runs by when they started; `waiting`: not started yet and not late yet;
    `started`: by the watch, inside the catch-up window. `restored`: schedules made again or set
    right; `adopted`: tasks that the registry did not know; `removed`: deletions finished;
    `reported`: what a person must decide.
    """

    due: int = 0
    on_time: int = 0
    late: int = 0
    waiting: int = 0
    started: int = 0
    missed: int = 0
    skipped: int = 0
    restored: int = 0
    adopted: int = 0
    removed: int = 0
    reported: int = 0

    def plus(self, **numbers: int) -> "Counts":
        """The same with these added."""
        return self.model_copy(
            update={name: getattr(self, name) + number for name, number in numbers.items()}
        )

    def plus_all(self, other: "Counts") -> "Counts":
        """The sum of two."""
        return self.plus(**other.model_dump())


class TickInput(Payload):
    """The argument of `watch_tick`: judge the fires after `after` and up to `until`, as of `now`.

    `after` is None for the first tick of all. `waiting` are runs that no tick has judged yet.
    """

    after: datetime | None
    until: datetime
    now: datetime
    waiting: list[str] = Field(default_factory=list)


class TickResult(Payload):
    """How far the judging came, and what it found."""

    watermark: datetime
    counts: Counts
    waiting: list[str] = Field(default_factory=list)
    findings: list[str] = Field(default_factory=list)


class WatchResult(Payload):
    """The result of `Watch`, which the next one begins with. `totals` are over all ticks."""

    watermark: datetime
    ticked_at: datetime
    tick: Counts
    totals: Counts
    waiting: list[str] = Field(default_factory=list)
    findings: list[str] = Field(default_factory=list)


def judge_run(due: datetime, run: SeenRun, *, now: datetime) -> Verdict:
    """Of a fire that has a run: on time, late, skipped by a rule, or not to be told yet.

    A run that a blackout put off says itself when it is due.
    """
    due = max(due, run.trigger_time or due)
    if run.actual_start is not None:
        return Verdict.ON_TIME if run.actual_start - due <= TOLERANCE else Verdict.LATE
    if run.skipped:
        return Verdict.SKIPPED
    if run.is_open and now - due < TOLERANCE:
        return Verdict.WAITING
    return Verdict.LATE


def decide(
    fire: Fire,
    task: Task,
    *,
    now: datetime,
    paused_in_temporal: bool = False,
    skips: bool = False,
    runs: Iterable[SeenRun] = (),
) -> Decision:
    """Of a fire that has no run: the first rule that fits. `runs` are the task's own.

    `skips`: the task's schedule makes no run while the one before is under way.
    """
    if paused_in_temporal:
        reason = "its schedule is paused in Temporal, and not by taskflow"
        return Decision(fire, Verdict.SKIPPED, reason)
    if skips and (before := previous_open(fire.at, runs)):
        return Decision(fire, Verdict.SKIPPED, overlap_reason(before.run_id))
    if now - fire.at > task.catchup:
        late = format_duration(timedelta(seconds=round((now - fire.at).total_seconds())))
        catchup = format_duration(task.catchup)
        reason = f"no run was made; found {late} late, and the task's catchup is {catchup}"
        return Decision(fire, Verdict.MISSED, reason)
    return Decision(fire, Verdict.STARTED, "started by the watch: its schedule made no run")


def overlap_reason(run_id: str) -> str:
    """Why a fire of a task with `overlap: skip` has no run."""
    return f"overlap: {run_id} was still under way"


def previous_open(at: datetime, runs: Iterable[SeenRun]) -> SeenRun | None:
    """The run of an earlier nominal time that had not ended at `at`: it was to keep others out."""
    return next(
        (
            run
            for run in runs
            if not run.record
            and run.scheduled_time < at
            and (run.is_open or (run.closed_at is not None and run.closed_at > at))
        ),
        None,
    )


_MORE, _UNTIL = "more until", "%Y-%m-%d %H:%M:%S UTC"


def stands_until(reason: str) -> datetime | None:
    """Of a record that counts fires without one of their own: when the last of those was due."""
    _, more, until = reason.rpartition(f" {_MORE} ")
    try:
        return datetime.strptime(until, _UNTIL).replace(tzinfo=UTC) if more else None
    except ValueError:
        return None


def summarise(decisions: Iterable[Decision]) -> list[Decision]:
    """The same in order, with few records of a kind for a task: the last one counts the rest."""
    groups: defaultdict[tuple[Key, Verdict], list[Decision]] = defaultdict(list)
    kept: list[Decision] = []
    for decision in decisions:
        if decision.verdict in RECORDS:
            groups[decision.fire.key, decision.verdict].append(decision)
        else:
            kept.append(decision)
    for group in groups.values():
        kept += group[:MOST_RECORDS]
        if rest := group[MOST_RECORDS:]:
            last = group[MOST_RECORDS - 1]
            until = rest[-1].fire.at.strftime(_UNTIL)
            reason = f"{last.reason}; {len(rest)} {_MORE} {until}"
            kept[-1] = replace(last, reason=reason, more=len(rest))
    return sorted(kept, key=lambda decision: decision.fire)
