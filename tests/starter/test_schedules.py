"""A task as a schedule: when Temporal fires it, and reading it back."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client

from domain.triggers import next_times
from shared.schedules import digest_of, listed_triggers, schedule_of, task_of
from starter.registry import listed
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


async def register(client: Client, tenant: str, triggers: list[dict[str, str]]) -> str:
    """Create the schedule of a task with these triggers; gives back its id."""
    task = make_task(tenant_id=tenant, triggers=triggers)
    schedule_id = f"task/{tenant}/{task.task_id}"
    await client.create_schedule(schedule_id, schedule_of(task, weight=1.0, task_queue="nobody"))
    return schedule_id


@pytest.mark.parametrize("trigger", TRIGGERS, ids=str)
async def test_the_server_fires_when_we_say(
    temporal: Client, tenant: str, trigger: dict[str, str]
) -> None:
    """The times of plan, preview and show are the server's own, and the task reads back whole."""
    now = datetime.now(UTC)
    schedule_id = await register(temporal, tenant, [trigger])

    description = await temporal.get_schedule_handle(schedule_id).describe()

    theirs = list(description.info.next_action_times)
    assert theirs
    task = task_of(description.schedule)
    assert task == make_task(tenant_id=tenant, triggers=[trigger])
    after = min(now, theirs[0] - timedelta(seconds=1))
    assert theirs == next_times(task, len(theirs), after=after)


async def test_a_list_tells_triggers_without_reading_each_schedule(
    temporal: Client, tenant: str
) -> None:
    """Cron text, zone, interval and instant come back from the list as they were written."""
    triggers = [
        {"cron": "30 4 1,15 * 5", "timezone": "Asia/Tokyo"},
        {"every": "15m", "offset": "5m"},
        {"at": "2032-02-29T12:00:30+08:00"},
    ]
    await register(temporal, tenant, triggers)
    key = (tenant, "daily-report")

    async def entry() -> object:
        return (await listed(temporal)).get(key)

    await eventually_async(entry)
    found = listed_triggers((await listed(temporal))[key])

    assert sorted(found, key=str) == sorted(triggers, key=str)


def test_the_digest_changes_with_everything_a_schedule_is_made_of() -> None:
    """Equal tasks have equal digests; any other task, weight or queue has another one."""
    base = digest_of(make_task(), weight=1.0, task_queue="q")

    assert digest_of(make_task(), weight=1.0, task_queue="q") == base
    others = {
        digest_of(make_task(params={"a": 1}), weight=1.0, task_queue="q"),
        digest_of(make_task(timeout="9m"), weight=1.0, task_queue="q"),
        digest_of(make_task(), weight=2.0, task_queue="q"),
        digest_of(make_task(), weight=1.0, task_queue="r"),
    }
    assert len(others | {base}) == 5
