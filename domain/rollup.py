"""Roll-ups: how a tenant's tasks did on one day (in UTC), kept when Temporal has forgotten it.

A *shelf* holds the days of one tenant and month. A day lies on it as one piece or, where it is
large, as several; a count of it that is newer and whole takes the place of the one before.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta

from pydantic import Field

from domain.levels import Level
from domain.packing import pack, unpack
from domain.payload import Payload
from domain.rollup_sketch import add_sketch, sketch_of

MOST_PIECE = 200_000
"""Characters of one piece: what a signal carries."""
MOST_BYTES = 1_200_000
"""Of one shelf: Temporal refuses a payload of 2 MB, and would fail the shelf for it."""
DAY = timedelta(days=1)
_COLUMNS = [one.name for one in fields(Level) if one.name != "latencies"]

TaskLevels = Mapping[str, Level]
"""By task id."""


class Piece(Payload):
    """A part of a day: `number` of `pieces` that were counted at the same time.

    `since`: from when on it was counted, where Temporal had forgotten what was before.
    `unfinished`: runs whose end was not waited for. `lost`: fires with neither a run nor a record.
    Both are of the whole day. `packed`: the levels, or a `Mark`.
    """

    day: date
    counted_at: datetime
    packed: str
    number: int = 0
    pieces: int = 1
    since: datetime | None = None
    unfinished: int = 0
    lost: int = 0

    @property
    def size(self) -> int:
        """Characters that this takes in a payload, nearly."""
        return 200 + len(self.packed)


class RollupStart(Payload):
    """The argument of `Rollup`, and its answer to `pieces`: all that is on the shelf."""

    pieces: list[Piece] = Field(default_factory=list)


class Keep(Payload):
    """The signal `keep`."""

    pieces: list[Piece]


class Drop(Payload):
    """The signal `drop`: forget what was counted of a day before then."""

    day: date
    before: datetime


class Mark(Payload):
    """What is known of a day when all tenants were looked at.

    `tenants` have roll-ups of it, `waiting` have runs that have not ended. `listed`: how many runs
    Temporal listed for it.
    """

    tenants: list[str] = Field(default_factory=list)
    waiting: list[str] = Field(default_factory=list)
    listed: int = 0


class LookInput(Payload):
    """The argument of `roll_up_days`. `checked`: by day, when it was last seen to be unchanged."""

    now: datetime
    checked: dict[date, datetime] = Field(default_factory=dict)


class LookResult(Payload):
    """The result of a look, which the next one begins with.

    `counted`: days that were counted, for some tenant at least; `waiting`: those that runs keep
    open; `through`: the last day before all of those.
    """

    looked_at: datetime
    counted: list[date] = Field(default_factory=list)
    waiting: list[date] = Field(default_factory=list)
    through: date | None = None
    checked: dict[date, datetime] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counted:
    """A tenant's day, whole: what its pieces say together."""

    counted_at: datetime
    since: datetime | None
    unfinished: int
    lost: int
    packed: tuple[str, ...]

    def levels(self) -> dict[str, Level]:
        """How its tasks did."""
        found: defaultdict[str, Level] = defaultdict(Level)
        self.add_to(found.__getitem__)
        return dict(found)

    def add_to(self, level_of: Callable[[str], Level]) -> None:
        """The same, added to the levels of tasks."""
        for text in self.packed:
            _add(text, level_of)

    def mark(self) -> Mark:
        """Of a day of all tenants. Errors: `ValueError`."""
        return Mark.model_validate_json(unpack(self.packed[0]))


class Shelf:
    """The state of a `Rollup`. Every change may come twice; the second changes nothing."""

    def __init__(self, start: RollupStart) -> None:
        self._pieces = {_key(piece): piece for piece in start.pieces}

    def keep(self, request: Keep) -> None:
        """Lay pieces down. What there is no room for is left: who sent it looks whether it lies."""
        size = sum(piece.size for piece in self._pieces.values())
        for piece in request.pieces:
            old = self._pieces.get(_key(piece))
            size += piece.size - (old.size if old else 0)
            if size > MOST_BYTES + MOST_PIECE:
                return
            self._pieces[_key(piece)] = piece

    def drop(self, request: Drop) -> None:
        """Forget older counts of a day."""
        for key, piece in list(self._pieces.items()):
            if piece.day == request.day and piece.counted_at < request.before:
                del self._pieces[key]

    def all(self) -> RollupStart:
        """Everything, in order."""
        return RollupStart(pieces=[self._pieces[key] for key in sorted(self._pieces)])

    def names(self) -> list[str]:
        """Which pieces lie here, as short texts for a list of shelves: see `whole_days`."""
        return [_name(self._pieces[key]) for key in sorted(self._pieces)]


def whole_days(names: Iterable[str]) -> set[date]:
    """The days of which all pieces are there, by the names of those of all shelves."""
    found: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for name in names:
        day, at, number, pieces = name.split(" ")
        found[day, at, pieces].add(number)
    return {
        date.fromisoformat(day)
        for (day, _, pieces), numbers in found.items()
        if len(numbers) == int(pieces)
    }


def newest_counts(pieces: Iterable[Piece]) -> dict[date, Counted]:
    """Of each day the newest count that is whole; `pieces`: those of all shelves of a month."""
    counts: defaultdict[tuple[date, datetime], dict[int, Piece]] = defaultdict(dict)
    for piece in pieces:
        counts[piece.day, piece.counted_at][piece.number] = piece
    found: dict[date, Counted] = {}
    for (day, at), own in sorted(counts.items()):
        first = next(iter(own.values()))
        if len(own) == first.pieces:
            texts = tuple(own[number].packed for number in sorted(own))
            found[day] = Counted(at, first.since, first.unfinished, first.lost, texts)
    return found


def pieces_of(
    day: date,
    levels: TaskLevels,
    *,
    counted_at: datetime,
    since: datetime | None = None,
    unfinished: int = 0,
    lost: int = 0,
) -> list[Piece]:
    """A tenant's day as pieces, as few as their size allows."""
    texts = _packed_rows([[task_id, *_row(levels[task_id])] for task_id in sorted(levels)])
    return [
        Piece(
            day=day,
            counted_at=counted_at,
            packed=text,
            number=number,
            pieces=len(texts),
            since=since,
            unfinished=unfinished,
            lost=lost,
        )
        for number, text in enumerate(texts)
    ]


def piece_of_mark(day: date, mark: Mark, *, counted_at: datetime) -> Piece:
    """What is known of a day, as it is laid down."""
    return Piece(day=day, counted_at=counted_at, packed=pack(mark.model_dump_json()))


def day_of(at: datetime) -> date:
    """The day in UTC."""
    return at.astimezone(UTC).date()


def start_of(day: date) -> datetime:
    """Its first instant."""
    return datetime.combine(day, time(), UTC)


def days_between(first: date, last: date) -> list[date]:
    """Both included."""
    return [first + DAY * number for number in range((last - first).days + 1)]


def _key(piece: Piece) -> tuple[date, datetime, int]:
    return piece.day, piece.counted_at, piece.number


def _name(piece: Piece) -> str:
    at = int(piece.counted_at.timestamp() * 1000)
    return f"{piece.day} {at} {piece.number} {piece.pieces}"


def _row(level: Level) -> list[int | list[int]]:
    return [*(getattr(level, name) for name in _COLUMNS), sketch_of(level.latencies)]


def _packed_rows(rows: list[list[object]]) -> list[str]:
    text = pack(json.dumps({"columns": _COLUMNS, "rows": rows}, separators=(",", ":")))
    if len(text) <= MOST_PIECE or len(rows) == 1:
        return [text]
    half = len(rows) // 2
    return _packed_rows(rows[:half]) + _packed_rows(rows[half:])


def _add(text: str, level_of: Callable[[str], Level]) -> None:
    """What a later version counted besides is left out; what an earlier one did not is zero."""
    document = json.loads(unpack(text))
    known = [name if name in _COLUMNS else None for name in document["columns"]]
    for task_id, *numbers, sketch in document["rows"]:
        level = level_of(task_id)
        for name, number in zip(known, numbers, strict=True):
            if name and number:
                setattr(level, name, getattr(level, name) + number)
        add_sketch(level.latencies, sketch)
