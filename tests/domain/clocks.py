"""Zones, tasks and moments for tests of times around changes of the clock."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from domain.clock_changes import clock_changes
from domain.compiled import Horizon
from domain.task import CronTrigger, Task, Trigger
from domain.temporal_model import CompiledSpec
from domain.triggers import task_times
from tests.conftest import task_of

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
HORIZON = Horizon.of(NOW)

# Both hemispheres, both sides of UTC, offsets of half and three quarter hours, a change of half an
# hour (Lord Howe) and of two (Troll), changes at midnight, a zone whose winter is the
# exception (Casablanca), and zones that never change.
ZONES = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Asuncion",
    "America/Denver",
    "America/Havana",
    "America/Halifax",
    "America/Los_Angeles",
    "America/Miquelon",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Atlantic/Canary",
    "Australia/Adelaide",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Berlin",
    "Europe/Chisinau",
    "Europe/Dublin",
    "Europe/Lisbon",
    "Europe/London",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Easter",
    "Pacific/Norfolk",
    "UTC",
]

_DAY = timedelta(days=1)


def task_with(*triggers: Trigger) -> Task:
    """A task with these triggers, whatever a registration would say about them."""
    return task_of().model_copy(update={"triggers": list(triggers)})


def cron_task(text: str, zone: str) -> Task:
    """A task with one cron trigger."""
    return task_with(CronTrigger(cron=text, timezone=zone))


def random_cron(random: Random) -> str:
    """An expression that is likely to fire around a change of the clock."""

    def values(low: int, high: int) -> str:
        return random.choice(
            [
                str(random.randint(low, high)),
                ",".join(map(str, sorted(random.sample(range(low, high + 1), 3)))),
                "{}-{}".format(*sorted(random.sample(range(low, high + 1), 2))),
            ]
        )

    minute = random.choice(["0", "30", "*/15", "*/20", "0,30", "*/5", values(0, 59)])
    hour = random.choice(["*", "*/2", "0-3", "23,0,1", "9-17", values(0, 4), values(0, 23)])
    day = random.choice(["*"] * 6 + ["1", "31", "*/2", "15,30", "28-31"])
    month = random.choice(["*"] * 6 + ["3,4,9,10,11", "2,3"])
    weekday = random.choice(["*", "*", "*", "0", "6", "1-5", str(random.randint(0, 6))])
    return f"{minute} {hour} {day} {month} {weekday}"


def changes_of(task: Task, spec: CompiledSpec) -> list[datetime]:
    """The changes, within the horizon, of every clock that the task or its spec is read by."""
    zones = {t.timezone for t in task.triggers if isinstance(t, CronTrigger)} | {spec.zone}
    return sorted(
        {
            change.at
            for zone in zones
            for change in clock_changes(ZoneInfo(zone), HORIZON.start, HORIZON.end)
        }
    )


def windows_of(
    task: Task, spec: CompiledSpec, shift: timedelta, random: Random
) -> Iterator[tuple[datetime, datetime]]:
    """Times (after, until] around each change, from near it to its end, and a week of any time."""
    for change in changes_of(task, spec):
        start = change - 3 * _DAY - timedelta(seconds=random.randint(0, 5000))
        yield start, change + 3 * _DAY + shift
        near = change + timedelta(
            minutes=15 * random.randint(-16, 16), seconds=random.randint(-1, 1)
        )
        yield near, near + _DAY
    start = HORIZON.start + timedelta(days=random.randint(54, 790))
    yield start, start + 8 * _DAY


def wanted_in(
    task: Task, shift: timedelta, windows: Sequence[tuple[datetime, datetime]]
) -> list[datetime]:
    """The nominal times moved by `shift` that lie in the windows."""
    found: set[datetime] = set()
    for after, until in windows:
        times = task_times(task, after=after - shift, until=until - shift)
        found.update(time + shift for time in times)
    return sorted(found)
