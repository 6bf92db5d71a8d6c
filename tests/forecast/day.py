"""A day of tasks at speed: minutes are seconds, and everything that collides does so often."""

from typing import Any

from domain.document import Document
from domain.policy import Policy
from domain.registration import Registration, read_registration
from sandbox.client import SandboxClient

LATENCIES = (0.3, 0.5, 0.9, 1.3, 1.9, 2.7, 4.0)
"""Seconds that plugins take: one plugin for each."""
EVERY = (10, 15, 20, 10, 30, 60)
OF_A_TENANT = 15
CLOCK = "clock"
"""A tenant without limits, whose runs show how late this machine is."""

Fields = dict[str, Any]

TENANTS: dict[str, Fields] = {
    "docks": {"mutex_groups": {f"dock-{number}": 1 for number in range(4)}},
    "cards": {"quota": {"resources": {"gpu": 3, "slots": 4}}},
    "crowd": {"quota": {"max_concurrent": 4}, "mutex_groups": {"till": 1}},
}


def the_day(policy: Policy) -> Registration:
    """Three tenants: one short of mutex groups, one of resources, one of concurrency."""
    document = {
        "tenants": [{"tenant_id": name, **fields} for name, fields in TENANTS.items()],
        "tasks": [
            _task(name, number, place)
            for place, name in enumerate(TENANTS)
            for number in range(OF_A_TENANT)
        ]
        + [_tick(number) for number in range(5)],
    }
    return read_registration(Document(document), policy)


async def plugins(sandbox: SandboxClient) -> None:
    """Each plugin takes as long as its name says."""
    for latency in LATENCIES:
        await sandbox.configure(plugin_of(latency), latency=latency)


def plugin_of(latency: float) -> str:
    """`takes-1.5`."""
    return f"takes-{latency}"


def _tick(number: int) -> Fields:
    return {
        "tenant_id": CLOCK,
        "task_id": f"tick-{number}",
        "plugin_id": CLOCK,
        "triggers": [{"every": "10s", "offset": f"{2 * number}s"}],
        "overlap": "allow",
    }


def _task(tenant: str, number: int, place: int) -> Fields:
    every = EVERY[number % len(EVERY)]
    latency = LATENCIES[(number * 3 + place) % len(LATENCIES)]
    # Most fire on the full ten seconds, as most crons do on the full minute.
    offset = (number * 7 + place * 3) % every if number % 5 > 2 else 0
    task: Fields = {
        "tenant_id": tenant,
        "task_id": f"{tenant}-{number:02}",
        "plugin_id": plugin_of(latency),
        "triggers": [{"every": f"{every}s", "offset": f"{offset}s"}],
        # Rounded up, as people guess; what counts after a few runs is what these took.
        "expected_duration": f"{max(1, round(latency))}s",
        "overlap": ("queue", "allow", "skip", "allow")[number % 4],
        "queue_timeout": "1m",
        "priority": 2 + number % 3,
        "on_conflict": "skip" if number % 8 == 3 else "queue",
    }
    if number % 6 == 5:
        task["jitter"] = "4s"
    if number % 9 == 4:
        task["stagger"] = "8s"
    match tenant:
        case "docks":
            task["mutex"] = [f"dock-{number * 7 // 3 % 4}"]
        case "cards":
            task["resources"] = (
                {"gpu": 1 + number // 2 % 2} if number % 2 else {"slots": 1 + number % 3}
            )
        case _ if number % 4 == 1:
            task["mutex"] = ["till"]
    return task
