"""The picture of the last and the next hours: numbers for SVG, made of what lies behind and ahead.

Along the time everything is in percent of the whole width, so that the picture fits any screen.
Pure: what is shown and the time are arguments.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from domain.sla import BREACHES
from domain.states import RunState
from starter.ahead import Ahead, BlackoutAhead, FireAhead
from starter.behind import FAILURES, Behind
from starter.runs import RunView, waits_text
from starter.times import both

BUCKETS = 48
LANES = 12
BAR_HEIGHT = 56
"""Of the highest bar, in pixels."""
MOST_MARKS = 150
"""Fires of one lane: more of them are one band."""
LEAST_WIDTH = 0.25
_TICKS = 8
_STEPS = [timedelta(minutes=minutes) for minutes in (15, 30, 60, 120, 180, 360)]

Item = TypeVar("Item")

KINDS = ("success", "failure", "other", "open", "fire", "conflict")
"""Classes of what is drawn, from the bottom of a bar to its top."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle: `x` and `width` in percent, `y` and `height` in pixels. `title`: in words."""

    kind: str
    x: float
    width: float
    title: str
    y: float = 0.0
    height: float = 0.0
    run_id: str | None = None


@dataclass(slots=True)
class Lane:
    """What one task did and will do. `marks`: points, such as a breach or a conflict."""

    task_id: str
    summary: str
    rects: list[Rect] = field(default_factory=list)
    marks: list[Rect] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tick:
    """A time on the axis; `local` is on the clock of another zone, if there is one."""

    x: float
    text: str
    local: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """`zone`: of most tasks, shown beside UTC. `hidden`: how many active tasks have no lane.

    `known`: from where to where it is known what was and what comes, in percent.
    """

    now: datetime
    now_x: float
    zone: str
    ticks: list[Tick]
    bars: list[Rect]
    lanes: list[Lane]
    hidden: int
    known: tuple[float, float]


def kind_of(run: RunView) -> str:
    """The class that a run is drawn in."""
    if not run.ended:
        return "open"
    if run.status is RunState.SUCCESS:
        return "success"
    return "failure" if run.status in FAILURES else "other"


def draw(behind: Behind, ahead: Ahead | None, now: datetime, span: timedelta) -> Timeline:
    """The picture of `span` before now and `span` after; without `ahead` the future is empty."""
    scale = _Scale(now - span, 2 * span)
    zone = _zone(ahead)
    lanes = _Lanes(scale, behind, ahead, now)
    chosen = lanes.chosen()
    return Timeline(
        now=now,
        now_x=scale.x(now),
        zone=zone,
        ticks=_ticks(scale, zone),
        bars=_bars(scale, behind, ahead, now),
        lanes=[lanes.lane(task_id) for task_id in chosen],
        hidden=len(lanes.active()) - len(chosen),
        known=(
            scale.x(behind.complete) if behind.cut else 0.0,
            scale.x(ahead.until) if ahead and ahead.cut else 100.0,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    start: datetime
    length: timedelta

    def x(self, at: datetime) -> float:
        """Percent from the left, kept inside."""
        return round(min(100.0, max(0.0, (at - self.start) / self.length * 100)), 3)

    def rect(
        self, kind: str, start: datetime, end: datetime, title: str, run_id: str | None = None
    ) -> Rect:
        """From one time to another; never too narrow to be seen."""
        x = min(self.x(start), 100 - LEAST_WIDTH)
        return Rect(kind, x, max(LEAST_WIDTH, round(self.x(end) - x, 3)), title, run_id=run_id)


def _zone(ahead: Ahead | None) -> str:
    zones = Counter(ahead.zone(task_id) for task_id in ahead.tasks) if ahead else Counter[str]()
    return max(sorted(zones), key=lambda zone: zones[zone], default="UTC")


def _ticks(scale: _Scale, zone: str) -> list[Tick]:
    step = next((step for step in _STEPS if scale.length / step <= _TICKS), _STEPS[-1])
    midnight = scale.start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + step * ((scale.start - midnight) // step + 1)
    found = []
    while at < scale.start + scale.length:
        local = at.astimezone(ZoneInfo(zone))
        found.append(Tick(scale.x(at), f"{at:%H:%M}", "" if zone == "UTC" else f"{local:%H:%M}"))
        at += step
    return found


def _bars(scale: _Scale, behind: Behind, ahead: Ahead | None, now: datetime) -> list[Rect]:
    """How many runs and fires there are in each part of the time, stacked by kind."""
    width = scale.length / BUCKETS
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def count(at: datetime, kind: str) -> None:
        place = (at - scale.start) // width
        if 0 <= place < BUCKETS:
            counts[place][kind] += 1

    for run in behind.runs:
        count(run.actual_start or run.trigger_time or now, kind_of(run))
    if ahead:
        conflicting = {conflict.run_id for conflict in ahead.conflicts}
        for fire in ahead.fires:
            count(fire.at, "conflict" if fire.run_id in conflicting else "fire")
    highest = max((counter.total() for counter in counts.values()), default=1)
    found = []
    for place, counter in sorted(counts.items()):
        begins, top = scale.start + place * width, float(BAR_HEIGHT)
        said = ", ".join(f"{counter[kind]:,} {_WORDS[kind]}" for kind in KINDS if counter[kind])
        for kind in KINDS:
            if counter[kind]:
                height = max(2.0, round(counter[kind] / highest * BAR_HEIGHT, 1))
                top -= height
                title = f"{begins:%H:%M} to {begins + width:%H:%M} UTC: {said}"
                x = scale.x(begins)
                found.append(
                    Rect(kind, x, 100 / BUCKETS * 0.86, title, round(max(0.0, top), 1), height)
                )
    return found


_WORDS = {
    "success": "succeeded",
    "failure": "failed",
    "other": "skipped or cancelled",
    "open": "open",
    "fire": "to come",
    "conflict": "to come with a conflict",
}


class _Lanes:
    """The tasks that are most worth a look, one lane each."""

    def __init__(self, scale: _Scale, behind: Behind, ahead: Ahead | None, now: datetime) -> None:
        self._scale, self._ahead, self._now = scale, ahead, now
        self._runs = _by_task(behind.runs, lambda run: run.task_id)
        self._fires = _by_task(ahead.fires if ahead else [], lambda fire: fire.task_id)
        self._conflicts = Counter(c.tasks[0] for c in ahead.conflicts) if ahead else Counter()
        self._conflict_texts = (
            {c.run_id: c.outcome_text() for c in ahead.conflicts} if ahead else {}
        )

    def active(self) -> set[str]:
        """Those that ran or will."""
        return self._runs.keys() | self._fires.keys()

    def chosen(self) -> list[str]:
        """What failed, waits or will collide comes before what is well; then by name."""
        worst = sorted(self.active(), key=lambda task_id: (-self._weight(task_id), task_id))
        return worst[:LANES]

    def _weight(self, task_id: str) -> float:
        runs = self._runs.get(task_id, [])
        bad = sum(run.status in FAILURES or run.sla in BREACHES for run in runs)
        waiting = sum(not run.ended for run in runs)
        return 3 * bad + 2 * waiting + 2 * min(self._conflicts[task_id], 10)

    def lane(self, task_id: str) -> Lane:
        """One of them."""
        runs, fires = self._runs.get(task_id, []), self._fires.get(task_id, [])
        lane = Lane(task_id, self._summary(task_id, runs, fires))
        if self._ahead:
            lane.rects += [self._blackout(window) for window in self._ahead.blackouts([task_id])]
        for run in reversed(runs):
            self._run(lane, run)
        self._come(lane, fires)
        return lane

    def _summary(self, task_id: str, runs: Sequence[RunView], fires: Sequence[FireAhead]) -> str:
        counts = Counter(run.status for run in runs)
        said = [f"{counts[state]} {state}" for state in RunState if counts[state]]
        said += [f"{len(fires)} to come"] if fires else []
        if conflicts := self._conflicts[task_id]:
            said.append(f"{conflicts} {'conflict' if conflicts == 1 else 'conflicts'} ahead")
        return ", ".join(said)

    def _blackout(self, window: BlackoutAhead) -> Rect:
        title = f"{window.text}, until {self._clock(window.task_id, window.end)}"
        return self._scale.rect("blackout", window.start, window.end, title)

    def _run(self, lane: Lane, run: RunView) -> None:
        due = run.trigger_time or run.actual_start or self._now
        started = run.actual_start or (run.ended_at if run.ended else self._now) or due
        ended = run.ended_at or self._now
        state = f"{run.status}, due {self._clock(run.task_id, due)}"
        why = run.reason or waits_text(run)
        title = f"{state}: {why}" if why else state
        if started - due > timedelta(seconds=1):
            lane.rects.append(
                self._scale.rect("wait", due, started, f"waited. {title}", run_id=run.run_id)
            )
        lane.rects.append(self._scale.rect(kind_of(run), started, ended, title, run_id=run.run_id))
        if run.sla in BREACHES:
            lane.marks.append(Rect("breach", self._scale.x(ended), 0.0, f"SLA broken: {title}"))

    def _come(self, lane: Lane, fires: Sequence[FireAhead]) -> None:
        if len(fires) > MOST_MARKS:
            title = f"{len(fires):,} fires until {self._clock(lane.task_id, fires[-1].at)}"
            lane.rects.append(self._scale.rect("fire", fires[0].at, fires[-1].at, title))
        for fire in fires:
            text = self._conflict_texts.get(fire.run_id)
            title = f"due {self._clock(lane.task_id, fire.at)}"
            if text and len(lane.marks) < MOST_MARKS:
                mark = Rect("conflict", self._scale.x(fire.at), 0.0, f"{title}: {text}")
                lane.marks.append(mark)
            elif len(fires) <= MOST_MARKS:
                lane.rects.append(self._scale.rect("fire", fire.at, fire.at, title))

    def _clock(self, task_id: str, at: datetime) -> str:
        zone = self._ahead.zone(task_id) if self._ahead else "UTC"
        return both(at.replace(microsecond=0), zone)


def _by_task(items: Iterable[Item], task_of: Callable[[Item], str]) -> dict[str, list[Item]]:
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[task_of(item)].append(item)
    return dict(found)
