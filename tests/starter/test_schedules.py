"""A task as a schedule: when Temporal fires it, and reading it back."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import Client

from domain.clock_changes import clock_changes
from domain.due import next_due
from domain.ids import schedule_id
from domain.task import Task
from domain.triggers import next_times, task_times
from shared.schedules import (
    Circumstances,
    circumstances_of,
    digest_of,
    listed_triggers,
    schedule_attributes,
    schedule_of,
    seed_of,
    task_of,
)
from starter.registry import listed
from starter.verify import matching_times
from tests.conftest import task_of as make_task
from tests.starter.harness import eventually_async

TRIGGERS = [
    {"cron": "*/7 * * * *"},
    {"cron": "0 2 * * *", "timezone": "Asia/Shanghai"},
    {"cron": "30 4 1,15 * 5"},
    {"cron": "0 22-2 * * *", "timezone": "Asia/Kolkata"},
    {"cron": "0 9 28-31/3 * *", "timezone": "Asia/Tokyo"},
    {"cron": "@weekly", "timezone": "Africa/Lagos"},
    {"cron": "0 0 29 2 *"},
    {"cron": "5 0 * jan-mar mon-fri", "timezone": "America/Bogota"},
    {"every": "15m", "offset": "5m"},
    {"every": "1d"},
    {"at": "2032-02-29T12:00:30+08:00"},
]


async def register(client: Client, task: Task) -> str:
    """Create the schedule of a task; gives back its id."""
    circumstances = await circumstances_of(client, [task], "nobody")
    schedule = schedule_of(task, 1.0, circumstances)
    digest = digest_of(task, 1.0, circumstances)
    made = schedule_id(task.tenant_id, task.task_id)
    await client.create_schedule(
        made, schedule, search_attributes=schedule_attributes(task, digest)
    )
    return made


async def seed_for(client: Client, task: Task) -> str | None:
    """What the server mixes into the task's jitter."""
    return seed_of(task, (await circumstances_of(client, [task], "nobody")).namespace_id)


@pytest.mark.parametrize("trigger", TRIGGERS, ids=str)
async def test_the_server_fires_when_we_say(
    temporal: Client, tenant: str, trigger: dict[str, str]
) -> None:
    """The times of plan, preview and show are the server's own, and the task reads back whole."""
    now = datetime.now(UTC)
    task = make_task(tenant_id=tenant, triggers=[trigger])
    made = await register(temporal, task)

    description = await temporal.get_schedule_handle(made).describe()

    theirs = list(description.info.next_action_times)
    assert theirs
    assert task_of(description.schedule) == task
    after = min(now, theirs[0] - timedelta(seconds=1))
    assert theirs == next_times(task, len(theirs), after=after)


@pytest.mark.parametrize(
    "lines",
    [
        {"stagger": "5m", "triggers": [{"cron": "0 2 * * *", "timezone": "Europe/Berlin"}]},
        {"stagger": "90s", "jitter": "40s", "triggers": [{"every": "10m"}]},
        {"jitter": "10m", "triggers": [{"cron": "*/15 * * * *"}, {"every": "7m", "offset": "1m"}]},
        {
            "triggers": [
                {"cron": "30 1 * * *", "timezone": "Europe/Berlin"},
                {"cron": "0 12 * * *", "timezone": "Asia/Tokyo"},
            ]
        },
    ],
    ids=str,
)
async def test_trigger_times_with_stagger_and_jitter_are_known_in_advance(
    temporal: Client, tenant: str, lines: dict[str, Any]
) -> None:
    """What we say a task's next trigger times are is what the server says, to the millisecond."""
    task = make_task(tenant_id=tenant, **lines)
    made = await register(temporal, task)
    description = await temporal.get_schedule_handle(made).describe()
    theirs = list(description.info.next_action_times)
    seed = await seed_for(temporal, task)
    ours = next_due(task, 500, after=theirs[0] - timedelta(hours=2), seed=seed)
    assert set(theirs) <= set(ours)
    first = ours.index(theirs[0])
    assert ours[first : first + len(theirs)] == theirs


async def test_a_registered_task_is_exact_through_the_next_two_clock_changes(
    temporal: Client, tenant: str
) -> None:
    """Around every change of Berlin's clock the server's own list is what crontab(5) means."""
    cron = {"cron": "30 1,2 * * *", "timezone": "Europe/Berlin"}
    task = make_task(tenant_id=tenant, triggers=[cron])
    made = await register(temporal, task)
    now = datetime.now(UTC)
    changes = clock_changes(ZoneInfo("Europe/Berlin"), now, now + timedelta(days=700))
    assert len(changes) >= 3
    for change in changes:
        after, until = change.at - timedelta(days=2), change.at + timedelta(days=2)
        theirs = await matching_times(temporal, made, after, until)
        assert theirs == list(task_times(task, after=after, until=until))


@pytest.mark.parametrize("stagger", ["0s", "5m"])
async def test_a_list_tells_triggers_without_reading_each_schedule(
    temporal: Client, tenant: str, stagger: str
) -> None:
    """Cron text, zone, interval and instant come back from the list as they were written."""
    triggers = [
        {"cron": "30 4 1,15 * 5", "timezone": "Asia/Tokyo"},
        {"every": "15m", "offset": "5m"},
        {"at": "2032-02-29T12:00:30+08:00"},
    ]
    await register(temporal, make_task(tenant_id=tenant, triggers=triggers, stagger=stagger))
    key = (tenant, "daily-report")

    async def entry() -> object:
        return (await listed(temporal)).get(key)

    await eventually_async(entry)
    found = listed_triggers((await listed(temporal))[key])

    assert found is not None
    assert sorted(found, key=str) == sorted(triggers, key=str)


def digest(weight: float = 1.0, queue: str = "q", **fields: Any) -> str:
    """The digest of a task's schedule."""
    circumstances = Circumstances(queue, datetime(2026, 11, 23, tzinfo=UTC))
    task = make_task(**fields)
    return digest_of(task, weight, circumstances)


def test_the_digest_changes_with_everything_a_schedule_is_made_of() -> None:
    """Equal tasks have equal digests; any other task, weight or queue has another one."""
    others = {
        digest(params={"a": 1}),
        digest(timeout="9m"),
        digest(stagger="1m"),
        digest(weight=2.0),
        digest(queue="r"),
    }
    assert digest() == digest()
    assert len(others | {digest()}) == 6
