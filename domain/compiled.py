"""From a task's triggers to a spec that fires at exactly their instants, moved by a fixed shift.

Calendars say what the clock of one zone reads. A trigger of another zone is moved into it by the
difference of the two clocks; where that differs between summer and winter, its calendars are
bounded by dates. The days on which a clock changes are mended by `domain.repair`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.calendars import Calendar, compile_cron, one_off_calendar
from domain.clock_changes import clock_changes, offset_at, reading_at
from domain.fires import merge_times
from domain.repair import CannotCompile, Window, repaired
from domain.shifted import LONGEST_SHIFT, between, shifted
from domain.task import CronTrigger, IntervalTrigger, OneOffTrigger, Task
from domain.temporal_model import FIRST_YEAR, LAST_YEAR, CompiledSpec, Instant, Interval, values_of
from domain.triggers import trigger_times

LONGEST_COMMENT = 200  # the server's limit
MOST_ZONES = 3
"""So many of a task's zones, and UTC, are tried as the zone of its schedule."""
WORTH_IT = 2
"""A schedule is in another zone than most triggers if that has this many times fewer entries."""

_ZERO = timedelta(0)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_NEAR = timedelta(hours=4)
_FAR = timedelta(hours=30)
_WEEK = 7
_ALWAYS = tuple(tuple(range(*ends)) for ends in ((0, 24), (1, 32), (1, 13), (0, 7)))


@dataclass(frozen=True, slots=True)
class Horizon:
    """The time for which a spec is exact: from the quarter of a moment to two years after its end.

    All moments of a quarter have the same, and so the same spec: compiling again changes nothing.
    """

    start: datetime
    end: datetime

    @classmethod
    def of(cls, now: datetime) -> "Horizon":
        """The horizon at an aware moment."""
        now = now.astimezone(UTC)
        start = datetime(now.year, (now.month - 1) // 3 * 3 + 1, 1, tzinfo=UTC)
        next_quarter = (start + 100 * _DAY).replace(day=1)
        return cls(start, next_quarter.replace(year=next_quarter.year + 2))


def compile_task(task: Task, *, shift: timedelta, now: datetime) -> CompiledSpec:
    """The spec that fires at the task's nominal times plus `shift` (whole seconds, 0 or more).

    It is exact from `now` to its `exact_until`, two years or more later, and the same for every
    `now` of a quarter. Raises CannotCompile, or TooManyEntries.
    """
    if not _ZERO <= shift <= LONGEST_SHIFT or shift % _SECOND:
        raise CannotCompile(
            f"times can be moved by whole seconds and at most {LONGEST_SHIFT.days} days, "
            f"not by {shift}"
        )
    horizon = Horizon.of(now)
    best: CompiledSpec | None = None
    refusals: list[CannotCompile] = []
    for zone in _candidates(task):
        draft, disturbing = _draft(task, shift, horizon, zone)
        if best is not None and draft.size > best.size // WORTH_IT:
            continue
        windows = tuple(_windows(task, draft, disturbing, shift, horizon))
        try:
            spec = repaired(draft, windows)
        except CannotCompile as refusal:
            refusals.append(refusal)
            continue
        if best is None or spec.size <= best.size // WORTH_IT:
            best = replace(spec, exact_until=horizon.end if windows else None)
        if spec.size <= _least_size(task):
            break
    if best is None:
        raise refusals[0]
    return best


def _candidates(task: Task) -> list[str]:
    """Zones for the spec, the one with most triggers first; UTC where no clock matters."""
    crons = _crons(task)
    zones = [zone for zone, _ in Counter(t.timezone for t in crons).most_common(MOST_ZONES)]
    if all(_is_clockless(trigger) for trigger in crons):
        return ["UTC", *(zone for zone in zones if zone != "UTC")]
    return zones if "UTC" in zones else [*zones, "UTC"]


def _least_size(task: Task) -> int:
    others = len(task.triggers) - len(_crons(task))
    return others + sum(len(compile_cron(t.expression())) for t in _crons(task))


def _draft(
    task: Task, shift: timedelta, horizon: Horizon, name: str
) -> tuple[CompiledSpec, set[ZoneInfo]]:
    """The spec as it is without repairs, and the zones whose clock changes disturb it."""
    zone = ZoneInfo(name)
    calendars: list[Calendar] = []
    intervals: list[Interval] = []
    instants: list[Instant] = []
    disturbing: set[ZoneInfo] = set()
    for trigger in task.triggers:
        match trigger:
            case CronTrigger():
                moves = _Moves.between(ZoneInfo(trigger.timezone), zone, shift, horizon)
                comment = _comment(trigger, name)
                moved = [
                    moves.apply(replace(calendar, comment=comment))
                    for calendar in compile_cron(trigger.expression())
                ]
                calendars += [calendar for pieces in moved for calendar in pieces]
                disturbing.add(zone)
                if not (_is_clockless(trigger) and len(moved[0]) == 1):
                    disturbing.add(moves.origin)
            case IntervalTrigger():
                intervals.append(_interval(trigger, shift))
            case OneOffTrigger():
                at = _whole(trigger.at.astimezone(UTC) + shift)
                if at > horizon.start and clock_changes(zone, at - 2 * _DAY, at + 2 * _DAY):
                    instants.append(Instant(at))
                else:
                    reading = reading_at(zone, at).replace(tzinfo=UTC)
                    comment = f"at {trigger.model_dump(mode='json')['at']}"
                    calendars.append(replace(one_off_calendar(reading), comment=comment))
    spec = CompiledSpec(
        name,
        calendars=tuple(dict.fromkeys(calendars)),
        intervals=tuple(dict.fromkeys(intervals)),
        instants=tuple(dict.fromkeys(instants)),
    )
    return spec, disturbing


@dataclass(frozen=True, slots=True)
class _Moves:
    """By how much the readings of one zone's clock are moved to be those of another's, and when."""

    origin: ZoneInfo
    spans: dict[timedelta, list[tuple[date, date]]]

    @classmethod
    def between(
        cls, origin: ZoneInfo, zone: ZoneInfo, shift: timedelta, horizon: Horizon
    ) -> "_Moves":
        """From `origin` into `zone`, and `shift` later."""
        spans: dict[timedelta, list[tuple[date, date]]] = defaultdict(list)
        if origin == zone:
            return cls(origin, {shift: []})
        start, end = horizon.start - 2 * _DAY, horizon.end + 2 * _DAY
        borders = {start} | {change.at for change in clock_changes(zone, start, end)}
        borders |= {change.at + shift for change in clock_changes(origin, start, end)}
        ordered = sorted(borders)
        days = [reading_at(zone, border).date() for border in ordered] + [date(LAST_YEAR, 12, 31)]
        for border, first, following in zip(ordered, days[:-1], days[1:], strict=True):
            move = shift + offset_at(zone, border) - offset_at(origin, border - shift)
            if first < following:
                spans[move].append((first, following - _DAY))
        return cls(origin, dict(spans))

    def apply(self, calendar: Calendar) -> list[Calendar]:
        """What `calendar`, read by the clock of the origin, is by the other clock."""
        moved = {move: shifted(calendar, move) for move in self.spans}
        if len(set(moved.values())) == 1:
            return list(next(iter(moved.values())))
        return [
            bounded
            for move, spans in self.spans.items()
            for piece in moved[move]
            for bounded in between(piece, spans)
        ]


def _windows(
    task: Task,
    spec: CompiledSpec,
    disturbing: set[ZoneInfo],
    shift: timedelta,
    horizon: Horizon,
) -> Iterator[Window]:
    """The times around changes of a clock, in which the spec may differ from what is wanted."""
    if len(disturbing) > 1 or any(len(values_of(c.day_of_week)) < _WEEK for c in spec.calendars):
        near = _FAR  # dates and weekdays are those of whole days
    else:
        near = _NEAR
    changes = sorted(
        {
            change.at
            for zone in disturbing
            for change in clock_changes(zone, horizon.start - near - shift, horizon.end + near)
        }
    )
    while changes:
        group = [changes.pop(0)]
        while changes and changes[0] - near <= group[-1] + near + shift:
            group.append(changes.pop(0))
        after, until = group[0] - near, group[-1] + near + shift
        nominal = merge_times(
            *(
                trigger_times(trigger, after=after - shift, until=until - shift)
                for trigger in task.triggers
                if not isinstance(trigger, IntervalTrigger)
            )
        )
        yield Window(after, until, tuple(group), tuple(at + shift for at in nominal))


def _is_clockless(trigger: CronTrigger) -> bool:
    """Whether only the clock's minute matters: every hour of every day, on every pass."""
    cron = trigger.expression()
    return not cron.is_fixed_time and all(
        (values_of(c.hour), values_of(c.day_of_month), values_of(c.month), values_of(c.day_of_week))
        == _ALWAYS
        and not c.year
        for c in compile_cron(cron)
    )


def _interval(trigger: IntervalTrigger, shift: timedelta) -> Interval:
    if trigger.every % _SECOND or trigger.offset % _SECOND:
        raise CannotCompile("an interval and its offset are whole seconds: Temporal has no less")
    return Interval(trigger.every, (trigger.offset + shift) % trigger.every)


def _whole(at: datetime) -> datetime:
    if at.microsecond:
        raise CannotCompile(f"{at.isoformat()} is not on a whole second")
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise CannotCompile(
            f"{at.isoformat()} is out of reach: Temporal ends with the year {LAST_YEAR}"
        )
    return at


def _comment(trigger: CronTrigger, zone: str) -> str:
    elsewhere = "" if trigger.timezone == zone else f" ({trigger.timezone})"
    room = LONGEST_COMMENT - len(elsewhere)
    text = trigger.cron if len(trigger.cron) <= room else f"{trigger.cron[: room - 3]}..."
    return text + elsewhere


def _crons(task: Task) -> list[CronTrigger]:
    return [trigger for trigger in task.triggers if isinstance(trigger, CronTrigger)]
