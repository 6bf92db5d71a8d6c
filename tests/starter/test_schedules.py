"""A task as a schedule: when Temporal fires it, and reading it back."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import Client, ScheduleActionStartWorkflow, ScheduleOverlapPolicy
from temporalio.contrib.pydantic import pydantic_data_converter

from domain.clock_changes import clock_changes
from domain.due import next_due
from domain.ids import schedule_id
from domain.run import TaskRunInput
from domain.task import Task
from domain.triggers import next_times, task_times
from shared.schedules import (
    SPEC_DIGEST,
    Circumstances,
    circumstances_of,
    details_of,
    digest_of,
    listed_triggers,
    read_request,
    read_task,
    same_making,
    schedule_attributes,
    schedule_of,
    seed_of,
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


async def register(client: Client, task: Task, limited: frozenset[str] = frozenset()) -> str:
    """Create the schedule of a task; gives back its id. `limited`: tenants, as everywhere."""
    circumstances = await circumstances_of(client, [task], "nobody", limited)
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
    assert await read_task(temporal, description.schedule) == task
    after = min(now, theirs[0] - timedelta(seconds=1))
    assert theirs == next_times(task, len(theirs), after=after)


@pytest.mark.parametrize(
    "lines",
    [
        {"stagger": "5m", "triggers": [{"cron": "0 2 * * *", "timezone": "Europe/Berlin"}]},
        {"stagger": "90s", "jitter": "40s", "triggers": [{"every": "10m"}]},
        {"spread": "3h7m10s", "triggers": [{"cron": "0 2 * * *", "timezone": "Europe/Berlin"}]},
        {"stagger": "2m", "spread": "4m35s", "triggers": [{"every": "10m"}]},
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


def test_a_run_of_a_clock_is_never_taken_for_one_of_an_event() -> None:
    """Whatever stands first among the triggers: what a schedule starts is no event's."""
    task = make_task(triggers=[{"event": "order.created"}, {"every": "10m"}])
    made = schedule_of(task, 1.0, Circumstances("q", datetime.now(UTC)))
    assert isinstance(made.action, ScheduleActionStartWorkflow)
    pairs = {pair.key.name: pair.value for pair in made.action.typed_search_attributes}
    assert pairs["TriggerKind"] == "interval"


async def test_long_filters_fit_into_a_schedule(temporal: Client, tenant: str) -> None:
    """They read back whole, and each run's history is not filled with them."""
    triggers = [
        {"event": f"type-{number}", "filter": f"data.name == '{chr(0x6F22) * 4000}'"}
        for number in range(15)
    ]
    task = make_task(tenant_id=tenant, triggers=triggers)
    made = await register(temporal, task)
    description = await temporal.get_schedule_handle(made).describe()
    assert await read_task(temporal, description.schedule) == task
    assert len(details_of(task)) < 5000


@pytest.mark.parametrize("stagger", ["0s", "5m"])
async def test_a_list_tells_triggers_without_reading_each_schedule(
    temporal: Client, tenant: str, stagger: str
) -> None:
    """Cron text, zone, interval, instant and event come back from the list as they were written."""
    triggers = [
        {"event": "order.created", "filter": "data.amount > 1", "debounce": "30s"},
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


@pytest.mark.parametrize(
    ("lines", "limited", "overlap"),
    [
        ("overlap: skip", False, ScheduleOverlapPolicy.SKIP),
        ("overlap: skip", True, ScheduleOverlapPolicy.ALLOW_ALL),
        ("overlap: skip\nmutex: [m]", False, ScheduleOverlapPolicy.ALLOW_ALL),
        ("overlap: skip\nresources: {gpu: 1}", False, ScheduleOverlapPolicy.ALLOW_ALL),
        ("overlap: queue", False, ScheduleOverlapPolicy.ALLOW_ALL),
        ("overlap: cancel_running", False, ScheduleOverlapPolicy.ALLOW_ALL),
        ("overlap: allow", False, ScheduleOverlapPolicy.ALLOW_ALL),
        ("overlap: allow", True, ScheduleOverlapPolicy.ALLOW_ALL),
    ],
)
async def test_one_rule_of_overlap_holds_for_a_task(
    temporal: Client, tenant: str, lines: str, overlap: ScheduleOverlapPolicy, *, limited: bool
) -> None:
    """Temporal keeps `skip` where nobody else is asked; else every fire becomes a run that asks.

    A run is told whether its tenant is limited, and whoever reads the schedule learns it too.
    """
    task = make_task(lines, tenant_id=tenant)
    made = await register(temporal, task, frozenset({tenant} if limited else ()))
    description = await temporal.get_schedule_handle(made).describe()

    assert description.schedule.policy.overlap is overlap
    read = await read_request(temporal, description.schedule)
    assert read == TaskRunInput(task=task, limited=limited)
    said = description.typed_search_attributes[SPEC_DIGEST]
    assert said.endswith("/limited") is limited


def digest(
    weight: float = 1.0, queue: str = "q", limited: frozenset[str] = frozenset(), **fields: Any
) -> str:
    """The digest of a task's schedule."""
    circumstances = Circumstances(queue, datetime(2026, 11, 23, tzinfo=UTC), limited=limited)
    task = make_task(**fields)
    return digest_of(task, weight, circumstances)


def test_the_digest_changes_with_everything_a_schedule_is_made_of() -> None:
    """Equal tasks have equal digests; any other task, weight or queue has another one."""
    others = {
        digest(params={"a": 1}),
        digest(timeout="9m"),
        digest(stagger="1m"),
        digest(spread="1m"),
        digest(weight=2.0),
        digest(queue="r"),
    }
    assert digest() == digest()
    assert len(others | {digest()}) == 7


@pytest.mark.parametrize("fields", [{}, {"stagger": "5m"}, {"mutex": ["m"]}], ids=str)
def test_a_limited_tenant_changes_the_digest_and_not_the_making(fields: dict[str, Any]) -> None:
    """The watch sees that a schedule is to be another, and that no other version made it."""
    plain = digest(**fields)
    limited = digest(limited=frozenset({"acme"}), **fields)
    assert limited == f"{plain}/limited"
    assert same_making(plain, limited)
    assert digest(limited=frozenset({"somebody-else"}), **fields) == plain


async def test_a_schedule_of_an_older_version_is_read_as_not_limited(temporal: Client) -> None:
    """What it starts runs with has no `limited` yet, and is a request all the same."""
    task = make_task()
    schedule = schedule_of(task, 1.0, Circumstances("q", datetime(2026, 11, 23, tzinfo=UTC)))
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    old = {"task": task.model_dump(mode="json")}
    schedule.action.args = pydantic_data_converter.payload_converter.to_payloads([old])
    assert await read_request(temporal, schedule) == TaskRunInput(task=task, limited=False)
