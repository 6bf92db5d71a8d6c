"""Shelves as workflows: nothing is lost when a run goes on as another, or when one is full."""

from datetime import UTC, datetime, timedelta

import pytest

import shared.rollup
import workflows.rollup
from domain.ids import rollup_id
from domain.levels import Fate, Level
from domain.rollup import DAY, TaskLevels, pieces_of
from shared.rollup import NotKept
from tests.rollup.harness import Days

AT = datetime(2026, 11, 23, tzinfo=UTC)


def _levels(tasks: int, seed: int) -> TaskLevels:
    found = {}
    for number in range(tasks):
        level = Level()
        for fire in range(6):
            latency = timedelta(milliseconds=(number * 7919 + fire * 104_729 + seed) % 90_000)
            level.fire(Fate.ON_TIME, latency)
        found[f"task-{number}"] = level
    return found


async def test_nothing_is_lost_over_runs_and_parts(
    days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More signals than one run takes, and more than one shelf holds; each day as it was last."""
    monkeypatch.setattr(shared.rollup, "MOST_BYTES", 3_000)
    monkeypatch.setattr(workflows.rollup, "SIGNALS_PER_RUN", 5)
    month = [days.first.replace(day=1) + DAY * number for number in range(6)]
    turns = 3
    for turn in range(turns):
        for day in month:
            pieces = pieces_of(day, _levels(8, turn), counted_at=AT + timedelta(hours=turn))
            await days.store.keep("acme", pieces)
    found = await days.store.days(["acme"], month)

    assert [found["acme", day].counted_at for day in month] == [
        AT + timedelta(hours=turns - 1)
    ] * len(month)
    expected = pieces_of(month[0], _levels(8, turns - 1), counted_at=AT)[0].packed
    assert {counted.packed for counted in found.values()} == {(expected,)}
    first = days.client.get_workflow_handle(rollup_id("acme", month[0], 0))
    second = days.client.get_workflow_handle(rollup_id("acme", month[0], 1))
    runs = {(await handle.describe()).run_id for handle in (first, second)}
    begun = {handle.id: await days.first_run(handle.id) for handle in (first, second)}
    assert begun[first.id] not in runs  # it went on as another run

    stale = pieces_of(month[0], _levels(8, 1), counted_at=AT - timedelta(hours=1))
    await days.store.keep("acme", stale)  # of a worker that was held up
    again = await days.store.days(["acme"], [month[0]])
    assert again["acme", month[0]] == found["acme", month[0]]

    # Who lays down what has no room hears of it, rather than that a day is missing.
    monkeypatch.setattr(shared.rollup, "MOST_BYTES", 10**9)
    pieces = pieces_of(days.first, _levels(4, 1), counted_at=AT)
    large = [pieces[0].model_copy(update={"packed": "x" * 1_500_000})]
    with pytest.raises(NotKept, match="was not kept"):
        await days.store.keep("beta", large)
    assert await days.store.days(["beta"], [days.first]) == {}
