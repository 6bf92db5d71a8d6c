"""`python -m benchmarks.forecast [--tasks N] [--hours N] [--json]`: forecasts, on one core.

Without `--tasks`, 1,000 and 10,000 tasks: a tenth of the time for a tenth of the fires is linear.
Tasks fire 24 times a day on average: hourly crons, many of them on the hour, intervals, dailies; a
third with jitter. A hundred to a tenant, which has a `max_concurrent`, two resources and five mutex
groups, so that runs do collide. Proposals are worked out, as `taskflow forecast` does it.
`--json` prints one document: `{"rounds": [{"tasks", "hours", "fires", "conflicts", "proposals",
"seconds", "us_per_fire"}]}`, seconds of processor time.
"""

import argparse
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.agenda import Key, Span, Spans
from domain.document import Document
from domain.durations import Durations
from domain.forecast import forecast
from domain.limits import TenantLimits, limits_of
from domain.registration import read_registration
from shared.policy import load_policy
from shared.settings import get_settings

SIZES = (1_000, 10_000)
OF_A_TENANT, OF_A_FILE = 100, 10_000
START = datetime(2026, 11, 23, tzinfo=UTC)
NAMESPACE = "4b7b7b0c-9c4e-4bd7-8b0e-0d3c7b1f5a10"
Fields = dict[str, Any]


def fields_of(number: int) -> Fields:
    """One task of the mixture: as many kinds as the last digit of its number."""
    minute = (0, 0, 15, 30, number * 7 % 60)[number // 10 % 5]
    hourly: Fields = {"cron": f"{minute} * * * *", "timezone": "Europe/Berlin"}
    every: Fields = {"every": "1h", "offset": f"{number * 37 % 3600}s"}
    trigger: Fields = (
        *(hourly, hourly, hourly, hourly, every, every),
        {"cron": f"{minute // 2},{minute // 2 + 30} * * * *"},
        {"every": "2h"},
        {"cron": "0 2 * * *", "timezone": "Asia/Shanghai"},
        {"every": "41m"},
    )[number % 10]
    kinds: list[Fields] = [
        {"overlap": "queue"},
        {"resources": {"gpu": 1}},
        {"mutex": [f"group-{number // 3 % 5}"]},
        {"mutex": [f"group-{number // 3 % 5}"]},
        {"resources": {"slots": 1}},
        {"resources": {"slots": 1}},
        {"resources": {"slots": 1}},
        *([{}] * 3),
    ]
    return {
        "tenant_id": f"tenant-{number // OF_A_TENANT}",
        "task_id": f"task-{number}",
        "plugin_id": "plugin",
        "triggers": [trigger],
        "jitter": "30s" if number % 3 == 0 else "0s",
        "expected_duration": f"{20 + number * 13 % 160}s",
        **kinds[number // 7 % 10],
    }


def tenant_of(number: int) -> Fields:
    """A tenant whose tasks get in each other's way on the hour."""
    return {
        "tenant_id": f"tenant-{number}",
        "quota": {"max_concurrent": 40, "resources": {"slots": 20, "gpu": 2}},
        "mutex_groups": {f"group-{group}": 1 for group in range(5)},
    }


def mixture(count: int) -> tuple[dict[Key, Spans], dict[str, TenantLimits]]:
    """So many tasks, registered for a year, and the limits of their tenants."""
    policy, since = load_policy(get_settings().policy_file), START - timedelta(days=365)
    tasks: dict[Key, Spans] = {}
    limits: dict[str, TenantLimits] = {}
    for document in files_of(count):
        registration = read_registration(document, policy)
        for task in registration.tasks:
            tasks[task.tenant_id, task.task_id] = (Span(since, None, task),)
        for tenant in registration.tenants.values():
            limits[tenant.tenant_id] = limits_of(tenant)
    return tasks, limits


def files_of(count: int) -> list[Document]:
    """So many tasks and their tenants, in files that are not larger than policy lets them be."""
    return [
        Document(
            {
                "tenants": [
                    tenant_of(number)
                    for number in range(first // OF_A_TENANT, -(-last // OF_A_TENANT))
                ],
                "tasks": [fields_of(number) for number in range(first, last)],
            }
        )
        for first, last in ((at, min(at + OF_A_FILE, count)) for at in range(0, count, OF_A_FILE))
    ]


def measure(count: int, hours: float) -> dict[str, float]:
    """One forecast of so many tasks over so many hours."""
    tasks, limits = mixture(count)
    began = time.process_time()
    found = forecast(
        tasks,
        limits,
        Durations(),
        start=START,
        end=START + timedelta(hours=hours),
        namespace_id=NAMESPACE,
    )
    seconds = time.process_time() - began
    return {
        "tasks": found.tasks,
        "hours": hours,
        "fires": found.fires,
        "conflicts": found.total,
        "proposals": len({c.tasks[0] for c in found.conflicts if c.proposal}),
        "seconds": seconds,
        "us_per_fire": seconds / max(1, found.fires) * 1e6,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecast")
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rounds = [
        measure(count, given.hours) for count in ([given.tasks] if given.tasks else list(SIZES))
    ]
    if given.json:
        sys.stdout.write(f"{json.dumps({'rounds': rounds}, indent=2)}\n")
        return 0
    for found in rounds:
        sys.stdout.write(
            f"{found['tasks']:7,} tasks x {found['hours']:g} h  {found['fires']:9,} fires  "
            f"{found['conflicts']:8,} conflicts  {found['proposals']:5,} proposals  "
            f"{found['seconds']:6.2f} s  {found['us_per_fire']:5.1f} us a fire\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
