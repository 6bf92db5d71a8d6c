"""Whether what was foreseen came about, and what came about was foreseen."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import Field

from domain.payload import Payload

TOLERANCE = 60.0
"""Seconds by which a conflict may come earlier or later than foreseen, and still be the one."""
MOST_FORESEEN = 20_000
"""Kept from one forecast to the next, in order of time: those further ahead are foreseen again."""
MOST_WARNINGS = 20


class Foreseen(Payload):
    """One conflict that a forecast warned of, `at` in seconds since 1970; `came`: it did.

    `noted`: a governor takes note of it when it comes. Of others, such as a blackout, nobody could
    tell whether they came, so that they are no false alarms.
    """

    tenant_id: str
    kind: str
    resource: str
    task_ids: list[str]
    at: float
    came: bool = False
    noted: bool = True

    @property
    def identity(self) -> tuple[object, ...]:
        """Two with the same are the same conflict, foreseen twice."""
        return self.tenant_id, self.kind, self.resource, tuple(self.task_ids), self.at


@dataclass(frozen=True, slots=True)
class Real:
    """A run that was not admitted when it asked.

    `by_hand`: a person or an event made it, and nobody can foresee when those come.
    """

    tenant_id: str
    kind: str
    resource: str
    task_id: str
    at: float
    by_hand: bool = False


class Score(Payload):
    """Of real conflicts, `hits` were foreseen, `misses` were not, `by_hand` could not be.

    `false_alarms`: foreseen ones that did not come.
    """

    hits: int = 0
    misses: int = 0
    by_hand: int = 0
    false_alarms: int = 0

    def plus(self, other: "Score") -> "Score":
        """The sum of two."""
        return Score(
            hits=self.hits + other.hits,
            misses=self.misses + other.misses,
            by_hand=self.by_hand + other.by_hand,
            false_alarms=self.false_alarms + other.false_alarms,
        )

    @property
    def hit_rate(self) -> float | None:
        """Share of the real conflicts that were foreseen, 0 to 1; None before there was one."""
        real = self.hits + self.misses
        return self.hits / real if real else None

    @property
    def precision(self) -> float | None:
        """Share of what was foreseen that came, 0 to 1, by the real conflicts it explains."""
        warned = self.hits + self.false_alarms
        return self.hits / warned if warned else None


@dataclass(slots=True)
class Scoring:
    """The result of `score`: figures, what still may come, and sentences about the misses."""

    score: Score
    left: list[Foreseen]
    missed: list[str] = field(default_factory=list)


def score(real: Iterable[Real], foreseen: Iterable[Foreseen], until: float) -> Scoring:
    """Judge the real conflicts up to `until` by what was foreseen before they happened.

    One that was foreseen explains every real conflict of its time that it fits.
    """
    places: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    listed = list(foreseen)
    came = [one.came for one in listed]
    for index, one in enumerate(listed):
        places[one.tenant_id, one.kind, one.resource].append(index)
    hits = misses = by_hand = 0
    missed: list[str] = []
    for conflict in real:
        found = list(_fitting(conflict, listed, places))
        for index in found:
            came[index] = True
        if found:
            hits += 1
        elif conflict.by_hand:
            by_hand += 1
        else:
            misses += 1
            at = datetime.fromtimestamp(conflict.at, UTC)
            missed.append(
                f"{conflict.tenant_id}/{conflict.task_id} at {at:%H:%M:%S} UTC: "
                f"{conflict.kind} {conflict.resource} was not foreseen"
            )
    settled = until - TOLERANCE
    left, false_alarms = [], 0
    for one, has_come in zip(listed, came, strict=True):
        if one.at > settled:
            left.append(one.model_copy(update={"came": has_come}))
        elif one.noted and not has_come:
            false_alarms += 1
    return Scoring(
        Score(hits=hits, misses=misses, by_hand=by_hand, false_alarms=false_alarms),
        left,
        missed[:MOST_WARNINGS],
    )


def renewed(left: Iterable[Foreseen], ahead: Iterable[Foreseen], now: float) -> list[Foreseen]:
    """What is foreseen from now on, and what was for the moments just past; each once."""
    before = {one.identity: one for one in left}
    kept = {identity: one for identity, one in before.items() if one.at <= now}
    for one in ahead:
        kept[one.identity] = before.get(one.identity, one)  # it may have come early
    return sorted(kept.values(), key=lambda one: one.at)[:MOST_FORESEEN]


def _fitting(
    conflict: Real, foreseen: list[Foreseen], places: dict[tuple[str, str, str], list[int]]
) -> Iterator[int]:
    for index in places.get((conflict.tenant_id, conflict.kind, conflict.resource), ()):
        one = foreseen[index]
        if abs(one.at - conflict.at) <= TOLERANCE and conflict.task_id in one.task_ids:
            yield index


class ForecastTick(Payload):
    """The argument of `forecast_tick`: score since `since`, None for the first, then look ahead.

    `foreseen` is the packed JSON list of what the forecast before warned of.
    """

    now: datetime
    since: datetime | None = None
    foreseen: str | None = None


class ForecastTicked(Payload):
    """The result of `forecast_tick`; `warnings` are the first few sentences about what is ahead."""

    foreseen: str
    score: Score
    tasks: int = 0
    fires: int = 0
    conflicts: int = 0
    until: datetime
    warnings: list[str] = Field(default_factory=list)
    missed: list[str] = Field(default_factory=list)


class ForecastResult(Payload):
    """The result of `Forecast`, which the next one begins with; `totals` over all of them."""

    made_at: datetime
    tick: ForecastTicked
    totals: Score
