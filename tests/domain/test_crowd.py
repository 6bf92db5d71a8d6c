"""A tenant's fires of one minute: how many there are, and where those go that are too many."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.checks import check_task
from domain.crowd import Crowd, most_at_once
from domain.due import due_times
from domain.task import Task
from tests.conftest import task_of

DAY = date(2026, 11, 23)
DAILY = "triggers: [{cron: '0 2 * * *'}]"
ZERO, MINUTE = timedelta(0), timedelta(minutes=1)


def daily(number: int, **fields: Any) -> Task:
    """One of many tasks that share 02:00."""
    return task_of(DAILY, task_id=f"t{number}", **fields)


def per_minute(tasks: list[Task]) -> Counter[datetime]:
    """The fires of `DAY` by minute, by the code that says when runs are due."""
    start = datetime.combine(DAY, time(), UTC)
    return Counter(
        due.scheduled_time.replace(second=0)
        for task in tasks
        for due in due_times(
            task, after=start - timedelta(seconds=1), until=start + timedelta(days=1, seconds=-1)
        )
    )


def placed(crowd: Crowd, tasks: list[Task]) -> list[Task]:
    """The tasks where the crowd puts them."""
    spreads = [crowd.place(task) for task in tasks]
    assert None not in spreads
    return [task.model_copy(update={"spread": s}) for task, s in zip(tasks, spreads, strict=True)]


@pytest.mark.parametrize(
    ("triggers", "most"),
    [
        ("[{cron: '0 2 * * *'}]", 1),
        ("[{cron: '*/5 * * * *'}]", 1),
        ("[{cron: '0 2 * * *'}, {cron: '0 3 * * *', timezone: Europe/Berlin}]", 2),
        ("[{cron: '0 2 * * *'}, {cron: '0 3 * * *'}]", 1),
        ("[{every: 10s}]", 6),
        ("[{every: 7m, offset: 3m}]", 1),
        ("[{every: 3d, offset: 1d}]", 1),
        ("[{at: '2026-11-24T10:00:00Z'}, {cron: '0 10 * * *'}]", 2),
        ("[{at: '2026-11-20T10:00:00Z'}]", 0),
        ("[{event: order.paid}]", 0),
    ],
    ids=str,
)
def test_a_task_counts_with_the_most_fires_that_it_has_in_a_minute(
    triggers: str, most: int
) -> None:
    """Clocks of all zones together; what only events start is never many by the clock."""
    assert most_at_once(task_of(f"triggers: {triggers}"), DAY) == most


def test_what_fits_stays_where_it_is() -> None:
    """As many as are allowed share the minute to the second."""
    crowd = Crowd(3, DAY)
    assert [crowd.place(daily(n)) for n in range(3)] == [ZERO] * 3


def test_what_is_too_much_goes_to_the_next_minute_with_room() -> None:
    """Each minute is filled before the next, and each task has its own mark of the minute."""
    tasks = placed(Crowd(2, DAY), [daily(n) for n in range(7)])
    assert [task.spread // MINUTE for task in tasks] == [0, 0, 1, 1, 2, 2, 3]
    marks = {task.spread % MINUTE for task in tasks[2:]}
    assert len(marks) > 1
    assert all(mark % timedelta(seconds=5) == ZERO for mark in marks)


def test_a_task_keeps_a_spread_that_fits() -> None:
    """Placing what was placed moves nothing."""
    first = placed(Crowd(2, DAY), [daily(n) for n in range(7)])
    assert placed(Crowd(2, DAY), first) == first


def test_a_task_that_is_changed_leaves_its_place() -> None:
    """Placed anew it does not meet itself, and removed it makes room."""
    crowd = Crowd(1, DAY)
    assert crowd.place(daily(1)) == ZERO
    assert crowd.place(daily(1)) == ZERO
    crowd.remove("t1")
    assert crowd.place(daily(2)) == ZERO


def test_a_copy_is_tried_on_and_the_original_is_not_changed() -> None:
    """What the copy was given, the original has room for."""
    crowd = Crowd(1, DAY)
    assert crowd.copy().place(daily(1)) == ZERO
    assert crowd.place(daily(2)) == ZERO


@pytest.mark.parametrize(
    ("triggers", "room"),
    [("[{every: 1m}]", 1), ("[{every: 10s}]", 0), ("[{every: 5m}]", 5), ("[{every: 2m}]", 2)],
)
def test_there_is_no_room_when_the_next_fire_is_reached(triggers: str, room: int) -> None:
    """So many tasks of one fire a minute fit, and the next has nowhere to go."""
    crowd = Crowd(1, DAY)
    spreads = [crowd.place(task_of(f"triggers: {triggers}", task_id=f"t{n}")) for n in range(9)]
    found = [spread for spread in spreads if spread is not None]
    assert len(found) == room
    assert all(spread is None for spread in spreads[room:])


def test_what_is_registered_stays_and_the_new_give_way() -> None:
    """In whatever order a file names them; one with other times than before counts as new."""
    there = placed(Crowd(2, DAY), [daily(n) for n in range(4)])
    crowd = Crowd(2, DAY)
    for task in there:
        crowd.add(task)
    other = task_of("triggers: [{cron: '0 4 * * *'}]", task_id="t0")
    wanted = {0: daily(9), 1: daily(3), 2: other, 3: daily(1), 4: daily(2)}
    spreads, full = crowd.place_all(wanted, {task.task_id: task for task in there})
    assert not full
    assert [spreads[1], spreads[3], spreads[4]] == [there[n].spread for n in (3, 1, 2)]
    assert (spreads[0], spreads[2]) == (ZERO, ZERO)  # 02:00 has the place that t0 left


def test_what_is_registered_is_not_refused_for_want_of_room() -> None:
    """A limit that came later moves what can move, and leaves what cannot; new tasks it refuses."""
    there = [task_of("triggers: [{every: 1m}]", task_id=f"t{n}") for n in range(3)]
    crowd = Crowd(2, DAY)
    for task in there:
        crowd.add(task)
    wanted = dict(enumerate([*there, task_of("triggers: [{every: 1m}]", task_id="new")]))
    spreads, full = crowd.place_all(wanted, {task.task_id: task for task in there})
    assert spreads == dict.fromkeys(range(3), ZERO)
    assert full == [3]


CRONS = st.builds(
    lambda minute, hour: {"cron": f"{minute} {hour} * * *"},
    st.sampled_from(["0", "0", "30", "*/15", "*/5", "7"]),
    st.sampled_from(["2", "2", "*", "8-18", "*/6", "23"]),
)
EVERY = st.builds(lambda minutes: {"every": f"{minutes}m"}, st.sampled_from([5, 8, 60, 90, 720]))


def test_the_room_of_a_task_is_that_of_any_day() -> None:
    """Every seven minutes and once a day: on some days the two are a minute apart, not on this."""
    both = [{"cron": "0 2 * * *"}, {"every": "7m"}]
    crowd = Crowd(2, DAY)
    assert most_at_once(task_of(triggers=both), DAY) == 2
    assert crowd.place(task_of(task_id="first", triggers=both)) == ZERO
    assert crowd.place(task_of(task_id="second", triggers=both)) is None


@given(
    triggers=st.lists(st.lists(CRONS | EVERY, min_size=1, max_size=2), min_size=1, max_size=25),
    most=st.integers(3, 6),
)
@settings(deadline=None, max_examples=40)
def test_no_minute_ever_has_more_than_is_allowed(
    triggers: list[list[dict[str, str]]], most: int
) -> None:
    """However tasks are mixed: by the code that says when runs are due, and by the checks."""
    crowd = Crowd(most, DAY)
    kept: list[Task] = []
    for number, each in enumerate(triggers):
        task = task_of(task_id=f"t{number}", triggers=each)
        spread = crowd.place(task)
        if spread is None:
            continue
        kept.append(task.model_copy(update={"spread": spread}))
        assert not list(check_task(kept[-1], said=set(), least_interval=MINUTE, limits=None))
    assert max(per_minute(kept).values(), default=0) <= most
