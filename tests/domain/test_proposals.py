"""Proposals: a shift that is proposed clears the conflict, and is a small one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.forecast import Forecast
from domain.later import said_later
from domain.limits import TenantLimits
from domain.task import IntervalTrigger, Task
from domain.tenant_ahead import Proposal
from tests.conftest import task_of
from tests.domain.ahead import START, ahead, nightly

WAREHOUSE: dict[str, Any] = {"mutex": ["warehouse"]}
END = START + timedelta(days=1)


def proposals(found: Forecast) -> dict[str, Proposal | None]:
    """By the task that meets a conflict."""
    return {conflict.tasks[0]: conflict.proposal for conflict in found.conflicts}


def test_the_smallest_shift_in_whole_minutes_with_its_cron() -> None:
    """Until the holder has ended; the text is what to write."""
    found = ahead(nightly("report", **WAREHOUSE), nightly("sync", **WAREHOUSE))
    assert proposals(found) == {
        "sync": Proposal("sync", 240, 'fire sync 4 min later: cron "4 2 * * *"')
    }


def test_a_shift_into_somebody_elses_way_is_none() -> None:
    """Clear of the first, it would keep the third waiting: it has to come after that too."""
    found = ahead(
        nightly("a", **WAREHOUSE),
        nightly("b", **WAREHOUSE),
        nightly("c", 6, expected_duration="10m", **WAREHOUSE),
    )
    # b from 2:04 to 2:08 would be in the way of c, which holds from 2:06 to 2:16.
    assert proposals(found)["b"] == Proposal("b", 960, 'fire b 16 min later: cron "16 2 * * *"')


def test_a_quota_that_the_shift_would_use_up_counts() -> None:
    """It was never short, so at first it is left out of the simulation; its use is looked at."""
    others = [nightly(f"o{n}", 4, expected_duration="20m") for n in range(2)]
    found = ahead(
        nightly("a", **WAREHOUSE),
        nightly("b", **WAREHOUSE),
        *others,
        limits=TenantLimits(max_concurrent=2),
    )
    assert proposals(found)["b"] == Proposal("b", 1440, 'fire b 24 min later: cron "24 2 * * *"')


@pytest.mark.parametrize("rule", ["skip", "fail", "warn"])
def test_a_run_that_would_not_wait_has_a_proposal_too(rule: str) -> None:
    """How long it would have to wait is found out by letting it."""
    found = ahead(nightly("a", **WAREHOUSE), nightly("b", on_conflict=rule, **WAREHOUSE))
    proposal = proposals(found)["b"]
    assert proposal is not None
    assert proposal.shift_s == 240


def test_a_blackout_is_left_by_the_smallest_shift() -> None:
    """The first minute after its end."""
    window = {"cron": "30 1 * * *", "duration": "45m"}
    found = ahead(nightly("a", blackouts=[window]))
    assert proposals(found) == {"a": Proposal("a", 900, 'fire a 15 min later: cron "15 2 * * *"')}


@pytest.mark.parametrize(
    "tasks",
    [
        [nightly("a", expected_duration="2h", **WAREHOUSE), nightly("b", **WAREHOUSE)],
        [
            task_of(task_id=name, triggers=[{"every": "5m"}], expected_duration="4m", **WAREHOUSE)
            for name in "ab"
        ],
    ],
    ids=["longer than an hour", "no room between its fires"],
)
def test_what_no_small_shift_clears_has_no_proposal(tasks: list[Task]) -> None:
    """Rather nothing than a change that only moves the trouble."""
    found = ahead(*tasks)
    assert found.total
    assert set(proposals(found).values()) == {None}


@pytest.mark.parametrize(
    ("trigger", "minutes", "said"),
    [
        ({"cron": "0 2 * * *"}, 4, 'cron "4 2 * * *"'),
        ({"cron": "58 2 * * 1-5"}, 4, 'cron "2 3 * * 1-5"'),
        ({"cron": "0,30 * * * *"}, 7, 'cron "7,37 * * * *"'),
        ({"cron": "*/15 9-17 * * *"}, 4, 'cron "4-59/15 9-17 * * *"'),
        ({"cron": "@hourly"}, 10, 'cron "10 * * * *"'),
        ({"cron": "58 * * * *"}, 4, 'cron "2 * * * *"'),
        ({"cron": "58 23 * * *"}, 4, None),
        ({"cron": "*/25 * * * *"}, 4, None),
        ({"cron": "10-20 2 * * *"}, 4, None),
        ({"cron": "0,58 2 * * *"}, 4, None),
        ({"every": "15m", "offset": "1m"}, 4, "every 15m, offset 5m"),
        ({"at": "2026-11-23T02:00:00Z"}, 4, "at 2026-11-23T02:04:00+00:00"),
        # Berlin puts its clock forward at 2:00: what was 1:58 and comes 4 minutes later is 3:02.
        ({"cron": "58 1 * * *", "timezone": "Europe/Berlin"}, 4, 'cron "2 2 * * *"'),
    ],
)
def test_a_trigger_is_said_where_a_simple_one_does_it(
    trigger: dict[str, str], minutes: int, said: str | None
) -> None:
    """Otherwise the shift alone is said, and nothing that fires at other times."""
    shift = timedelta(minutes=minutes)
    text = said_later(task_of(triggers=[trigger]), shift, START, END)
    assert text == f"fire daily-report {minutes} min later" + (f": {said}" if said else "")


def test_a_change_of_the_clocks_can_make_a_trigger_untrue() -> None:
    """Then it is not said: at 3:00 there is no 2:02 that would be four minutes after 1:58."""
    task = task_of(triggers=[{"cron": "58 1 * * *", "timezone": "Europe/Berlin"}])
    spring = datetime(2027, 3, 27, 12, tzinfo=UTC)
    text = said_later(task, timedelta(minutes=4), spring, spring + timedelta(days=1))
    assert text == "fire daily-report 4 min later"


starts = st.integers(0, 40)
lengths = st.sampled_from(["2m", "7m", "13m"])
tasks = st.lists(st.tuples(starts, lengths, st.booleans(), st.booleans()), min_size=2, max_size=7)


def task_at(number: int, minute: int, length: str, *, mutex: bool, gpu: bool) -> Task:
    """One of a few tasks that fire every other hour, and share things."""
    fields: dict[str, Any] = {
        "mutex": ["warehouse"] if mutex else [],
        "resources": {"gpu": 1} if gpu else {},
        "expected_duration": length,
        "triggers": [{"every": "2h", "offset": f"{minute}m"}],
    }
    return task_of(task_id=f"t{number}", **fields)


@settings(max_examples=40, deadline=None)
@given(tasks, st.none() | st.integers(2, 4))
def test_carried_out_a_proposal_clears_the_conflict(
    said: list[tuple[int, str, bool, bool]], most: int | None
) -> None:
    """The whole tenant is looked at again: the task meets nothing, and nobody meets more."""
    limits = TenantLimits(max_concurrent=most, resources={"gpu": 2})
    before = [
        task_at(n, minute, length, mutex=mutex, gpu=gpu)
        for n, (minute, length, mutex, gpu) in enumerate(said)
    ]
    found = ahead(*before, limits=limits, hours=4)
    for task_id, proposal in proposals(found).items():
        if proposal is None:
            continue
        without = ahead(
            *(t for t in before if t.task_id != task_id), limits=limits, hours=4, propose=False
        )
        known = {(c.run_id, c.resource): c.wait_s or 0.0 for c in without.conflicts}
        after = shifted(before, task_id, timedelta(seconds=proposal.shift_s), limits)
        assert is_clear(after, task_id, known)


def shifted(before: list[Task], task_id: str, shift: timedelta, limits: TenantLimits) -> Forecast:
    """The forecast with one of the tasks moved."""
    after = (later(task, shift) if task.task_id == task_id else task for task in before)
    return ahead(*after, limits=limits, hours=4, propose=False)


def is_clear(found: Forecast, task_id: str, known: dict[tuple[str, str], float]) -> bool:
    """Whether the task meets nothing, and others no more than they do without it."""
    return all(
        task_id != conflict.tasks[0]
        and (conflict.wait_s or 0.0) <= known.get((conflict.run_id, conflict.resource), -1) + 0.001
        for conflict in found.conflicts
    )


def later(task: Task, shift: timedelta) -> Task:
    """The same task as the proposal has it."""
    [trigger] = task.triggers
    assert isinstance(trigger, IntervalTrigger)
    moved = trigger.model_copy(update={"offset": (trigger.offset + shift) % trigger.every})
    return task.model_copy(update={"triggers": [moved]})
