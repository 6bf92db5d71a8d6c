"""Looks: each day is counted once it cannot change, again when it did, and whatever was lost."""

from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle

from activities.rollup import CHECKED_EVERY
from domain.ids import rollup_id, rollup_marks_id, scheduled_run_id
from domain.rollup import DAY
from domain.states import RunState
from starter.sla_report_rebuild import rebuild
from tests.rollup.harness import FIRES, RETENTION, Days, busy, level, same_but_for_latencies
from tests.starter.past import SECOND, Past

MINE = slice(-3, None)
"""The three days, of those that a look tells of: Temporal keeps more."""


async def test_a_day_is_counted_once(days: Days) -> None:
    """The next looks, of whichever worker, find nothing to do and change nothing."""
    past = days.tenant()
    await busy(past, "often")
    first = await days.look()
    await days.lies(past, *(days.first + DAY * number for number in range(3)))
    lying = await days.store.days([past.tenant_id], [days.first])

    again = await days.look(checked=first.checked)
    checked = await days.look(now=days.now + DAY, checked=again.checked)

    assert first.counted[MINE] == [days.first + DAY * number for number in range(3)]
    assert again.counted == []
    assert checked.counted == [days.today]  # a day later, that is over too
    assert await days.store.days([past.tenant_id], [days.first]) == lying
    # Shelves are open workflows: those that nobody is to know of any more end.
    shelves = await days.shelves()
    ended = await days.store.end_before(days.first.replace(day=1) - 40 * DAY)
    assert (ended, await days.shelves()) == (0, shelves)
    await days.store.end_before(days.today + 40 * DAY)
    for shelf in shelves:
        await days.gone(shelf)


async def _open(past: Past, number: int, *, late: float = 1) -> WorkflowHandle[Any, Any]:
    task = await past.task("long", triggers=[{"every": "1d"}])
    await past.ran(task, number, late * SECOND, TASK_STATUS=RunState.RUNNING)
    run_id = scheduled_run_id(past.tenant_id, "long", past.at(number))
    return past.client.get_workflow_handle(run_id)


async def test_a_run_that_has_not_ended_keeps_its_day_open(days: Days) -> None:
    """For its own tenant only; Temporal's list tells of that day, until the run has ended."""
    past, other = days.tenant(), days.tenant()
    await busy(other, "often")
    run = await _open(past, 144)
    open_day = days.first + DAY
    first = await days.look()
    while_open = await days.report(past)
    await days.lies(other, *(days.first + DAY * number for number in range(3)))
    again = await days.look(checked=first.checked)

    await run.terminate()
    await days.ended(run)
    last = await days.look(checked=again.checked)

    assert (first.waiting, first.through) == ([open_day], days.first)
    assert (again.counted, again.waiting) == ([], [open_day])
    assert len(while_open.rolled_up) == 2
    assert level(while_open, past, "long").runs == 1
    assert (last.counted, last.waiting) == ([open_day], [])
    closed = await days.report(past)
    same_but_for_latencies(closed, await days.report(past, rollups=False))
    assert len(closed.rolled_up) == 3


async def test_a_day_that_temporal_is_about_to_forget_is_not_kept_open(days: Days) -> None:
    """Better counted as it is than not at all; and the report says what it could not await."""
    past = days.tenant()
    await _open(past, 0)
    late = (
        days.now + RETENTION - timedelta(days=3, hours=13)
    )  # four hours before Temporal forgets it

    looked = await days.look(now=late)
    report = await days.report(past, now=days.now + timedelta(days=60))

    assert (days.first in looked.counted, looked.waiting) == (True, [])
    assert level(report, past, "long").due == 3
    assert any("1 runs had not ended" in text for text in report.warnings)


async def test_what_comes_late_is_counted_too(days: Days) -> None:
    """A backfill of a day that was rolled up: seen when the day is compared, or by a rebuild."""
    past = days.tenant()
    task = await busy(past, "often")
    first = await days.look()
    before = await days.report(past)
    await past.ran(task, 0, 5 * SECOND)  # nobody ran it until now
    await days.lies(past, *(days.first + DAY * number for number in range(3)))

    soon = await days.look(checked=first.checked)
    later = await days.look(now=days.now + CHECKED_EVERY, checked=first.checked)
    after = await days.report(past)

    assert soon.counted == []
    assert days.first in later.counted
    assert days.first + DAY not in later.counted
    assert level(after, past, "often").on_time == level(before, past, "often").on_time + 1
    same_but_for_latencies(after, await days.report(past, rollups=False))


async def test_a_shelf_that_somebody_ended_is_filled_again(days: Days) -> None:
    """A tenant's, and the one that knows of all: what Temporal still has is counted anew."""
    past, other = days.tenant(), days.tenant()
    await busy(past, "often")
    await busy(other, "else")
    three = [days.first + DAY * number for number in range(3)]
    first = await days.look()
    whole = await days.report()
    for workflow_id in (rollup_id(past.tenant_id, days.first, 0), rollup_marks_id(days.first)):
        await days.client.get_workflow_handle(workflow_id).terminate()
        without = await days.report()
        same_but_for_latencies(without, whole)  # nothing is missing in the meantime
        await days.lies(other, *three)
        await days.gone(workflow_id)
        again = await days.look(checked=first.checked)
        assert again.counted[MINE] == three
        await days.lies(past, *three)
        filled = await days.report(now=days.now + timedelta(days=60))
        same_but_for_latencies(filled, whole)
        assert filled.gone == set()


async def test_a_rebuild_counts_what_is_there_and_names_what_is_gone(days: Days) -> None:
    """Of one tenant or all; what Temporal has in part takes the place of nothing."""
    past, other = days.tenant(), days.tenant()
    task = await busy(past, "often")
    await busy(other, "else")
    three = [days.first + DAY * number for number in range(3)]
    window = (days.pasts[0].start, days.now)

    one = await rebuild(days.client, past.tenant_id, *window, days.now, task_queue=days.queue)
    assert one.counted == three
    rolled = await days.report(past)
    assert len(rolled.rolled_up) == 3
    everybody = await days.report()  # the other's days are not rolled up, and are told
    assert level(everybody, other, "else").due == FIRES

    every = await rebuild(days.client, None, *window, days.now, task_queue=days.queue)
    assert every.counted == three
    await days.delete_runs(past, days.first)
    # Half of the first day is forgotten by then, and all that was before it.
    late = days.now + RETENTION + timedelta(hours=3) - DAY * 3
    kept = await rebuild(
        days.client, past.tenant_id, window[0] - DAY, window[1], late, task_queue=days.queue
    )
    assert (kept.gone, kept.kept) == ([days.first - DAY], [days.first])
    assert kept.counted[:2] == three[1:]
    assert level(await days.report(past), past, "often").due == FIRES
    assert task.task_id == "often"
