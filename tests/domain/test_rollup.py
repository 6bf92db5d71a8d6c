"""Roll-ups: sketches of latencies, days as pieces, and the shelf that they lie on."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import rollup
from domain.ids import parse_rollup_id, parse_rollup_marks_id, rollup_id, rollup_marks_id
from domain.levels import Fate, Latencies, Level
from domain.packing import pack, unpack
from domain.rollup import (
    MOST_BYTES,
    MOST_PIECE,
    Drop,
    Keep,
    Mark,
    Piece,
    RollupStart,
    Shelf,
    newest_counts,
    piece_of_mark,
    pieces_of,
    whole_days,
)
from domain.rollup_sketch import ERROR, add_sketch, bucket_of, latency_of, sketch_of

DAY = date(2026, 11, 22)
AT = datetime(2026, 11, 23, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


@given(st.integers(0, 10**9))
def test_a_latency_that_was_rolled_up_reads_nearly_as_it_was(milliseconds: int) -> None:
    """Within the error that is stated, from a millisecond to eleven days."""
    read = latency_of(bucket_of(milliseconds))
    assert abs(read - milliseconds) <= milliseconds * ERROR


@given(st.lists(st.lists(st.integers(0, 10**7), min_size=1), min_size=1, max_size=5))
def test_merged_sketches_lose_nothing_more(parts: list[list[int]]) -> None:
    """The percentiles of many days are those of all their latencies, within the same error."""
    merged, exact = Latencies(), Latencies()
    for part in parts:
        one = Latencies()
        for milliseconds in part:
            one.add(timedelta(milliseconds=milliseconds))
            exact.add(timedelta(milliseconds=milliseconds))
        add_sketch(merged, sketch_of(one))
    for share in (0.01, 0.5, 0.99, 1.0):
        read, wanted = merged.percentile(share), exact.percentile(share)
        assert read is not None
        assert wanted is not None
        assert abs(read - wanted) <= wanted * ERROR + 1e-9


def _levels(tasks: int, latencies: int = 5) -> dict[str, Level]:
    found = {}
    for number in range(tasks):
        level = Level(runs=number, retries=2 * number, breaches=1)
        for late in range(latencies):
            level.fire(Fate.ON_TIME, timedelta(milliseconds=(number + 1) * 37 * (late + 1)))
        found[f"task-{number}"] = level
    return found


def test_a_day_comes_back_as_it_was() -> None:
    """Every count; latencies as their sketches."""
    levels = _levels(20)
    pieces = pieces_of(DAY, levels, counted_at=AT, unfinished=3, lost=2)
    counted = newest_counts(pieces)[DAY]
    assert (counted.counted_at, counted.unfinished, counted.lost) == (AT, 3, 2)
    back = counted.levels()
    for task_id, level in levels.items():
        read = Latencies()
        add_sketch(read, sketch_of(level.latencies))
        level.latencies = read
        assert back[task_id] == level


def test_a_large_day_is_several_pieces_that_count_together_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each fits into a signal; without one of them the count before it is what is read."""
    monkeypatch.setattr(rollup, "MOST_PIECE", 500)
    levels = _levels(100)
    old = pieces_of(DAY, _levels(2), counted_at=AT)
    new = pieces_of(DAY, levels, counted_at=LATER)
    assert len(new) > 1
    assert all(len(piece.packed) <= 500 for piece in new)
    assert newest_counts([*old, *new[1:]])[DAY].counted_at == AT
    whole = newest_counts([*new[::-1], *old])[DAY]
    assert (whole.counted_at, len(whole.levels())) == (LATER, 100)


def test_a_shelf_takes_things_twice_and_knows_what_is_whole() -> None:
    """Signals may come again, and in any order."""
    shelf = Shelf(RollupStart())
    old, new = pieces_of(DAY, _levels(2), counted_at=AT), pieces_of(DAY, {}, counted_at=LATER)
    for pieces in (old, new, old):
        shelf.keep(Keep(pieces=pieces))
    assert len(shelf.all().pieces) == 2
    shelf.drop(Drop(day=DAY, before=LATER))
    assert shelf.all().pieces == new
    assert whole_days(shelf.names()) == {DAY}
    assert Shelf(shelf.all()).all() == shelf.all()
    halves = Piece(day=DAY, counted_at=AT, packed="", number=1, pieces=2)
    assert whole_days(Shelf(RollupStart(pieces=[halves])).names()) == set()


def test_a_shelf_does_not_grow_beyond_what_temporal_takes() -> None:
    """It would fail for ever; who sent what has no room sees that it does not lie there."""
    shelf = Shelf(RollupStart())
    for number in range(20):
        text = "x" * MOST_PIECE
        piece = Piece(day=DAY, counted_at=AT, packed=text, number=number, pieces=20)
        shelf.keep(Keep(pieces=[piece]))
    size = len(shelf.all().model_dump_json())
    assert MOST_BYTES < size < 2_000_000
    assert newest_counts(shelf.all().pieces) == {}


def test_what_a_later_version_counts_besides_is_left_out() -> None:
    """A worker of yesterday reads the roll-ups of tomorrow, and those of before."""
    piece = pieces_of(DAY, _levels(1), counted_at=AT)[0]
    before = newest_counts([piece])[DAY].levels()
    document = json.loads(unpack(piece.packed))
    document["columns"][0:0] = ["colours"]
    document["rows"][0][1:1] = [7]
    later = piece.model_copy(update={"packed": pack(json.dumps(document))})
    assert newest_counts([later])[DAY].levels() == before
    place = document["columns"].index("breaches")
    del document["columns"][place], document["rows"][0][place + 1]
    earlier = piece.model_copy(update={"packed": pack(json.dumps(document))})
    assert newest_counts([earlier])[DAY].levels()["task-0"].breaches == 0


def test_a_mark_comes_back_as_it_was() -> None:
    """Which tenants a day had, and which it waits for."""
    mark = Mark(tenants=["acme", "beta"], waiting=["beta"], listed=7)
    counted = newest_counts([piece_of_mark(DAY, mark, counted_at=AT)])[DAY]
    assert counted.mark() == mark


def test_ids_of_shelves_are_read_back() -> None:
    """And nobody's tenant is the shelf of all."""
    assert rollup_id("acme", DAY, 3) == "rollup/acme/2026-11/3"
    assert parse_rollup_id("rollup/acme/2026-11/3") == ("acme", date(2026, 11, 1), 3)
    assert rollup_marks_id(DAY) == "rollups/2026-11"
    assert parse_rollup_marks_id("rollups/2026-11") == date(2026, 11, 1)
    for text in ("rollup/acme/2026-13/0", "rollups/2026-11", "rollup//2026-11/0", "rollup/acme"):
        assert parse_rollup_id(text) is None
    assert parse_rollup_marks_id("rollups/x") is None
