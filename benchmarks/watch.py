"""`python -m benchmarks.watch [--tasks N] [--ticks N] [--json]`: the work of one look.

Applies so many hourly tasks to a server of its own and then looks at them again and again, as a
worker does each minute: first cold, knowing nothing, then warm. Prints seconds of a tick and
processor seconds of this process in it. `--json` prints one document:
`{"tasks", "apply_s", "ticks": [{"seconds", "cpu_s", "due"}]}`, the first tick the cold one.
"""

import argparse
import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from activities.watch import WatchActivities, WatchOptions
from benchmarks.server import fresh_server
from domain.document import Document
from domain.registration import read_registration
from domain.watch import GRACE, TickInput
from shared.policy import load_policy
from shared.settings import Settings, get_settings
from starter.registry import carry_out, make_plan
from worker.watch import build_watch_worker, watch_metrics

TASKS, TICKS = 10_000, 4
QUEUE = "watch-bench"
PERIOD = timedelta(seconds=20)


async def measure(count: int, ticks: int) -> dict[str, Any]:
    """Apply, then look so often."""
    async with fresh_server() as client, build_watch_worker(client, Settings(task_queue=QUEUE)):
        began = time.perf_counter()
        tasks = [
            {
                "tenant_id": f"tenant{number % 10}",
                "task_id": f"t{number}",
                "plugin_id": "p",
                "triggers": [{"every": "1h", "offset": f"{number % 3600}s"}],
                "overlap": "allow",
            }
            for number in range(count)
        ]
        policy = load_policy(get_settings().policy_file)
        registration = read_registration(Document({"tasks": tasks}), policy)
        await carry_out(client, await make_plan(client, registration, task_queue=QUEUE))
        applied = time.perf_counter() - began
        await asyncio.sleep(5)
        watch = WatchActivities(client, WatchOptions(QUEUE), watch_metrics())
        found, after = list[dict[str, float]](), datetime.now(UTC) - GRACE
        for _ in range(ticks):
            await asyncio.sleep(PERIOD.total_seconds())
            now = datetime.now(UTC)
            tick = TickInput(after=after, until=now - GRACE, now=now)
            began, cpu = time.perf_counter(), time.process_time()
            result = await watch.tick(tick)
            found.append(
                {
                    "seconds": round(time.perf_counter() - began, 2),
                    "cpu_s": round(time.process_time() - cpu, 2),
                    "due": result.counts.due,
                }
            )
            after = result.watermark
    return {"tasks": count, "apply_s": round(applied, 1), "ticks": found}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watch")
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--ticks", type=int, default=TICKS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    document = asyncio.run(measure(given.tasks, given.ticks))
    if given.json:
        sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
        return 0
    sys.stdout.write(f"{given.tasks} tasks, applied in {document['apply_s']} s\n")
    for number, tick in enumerate(document["ticks"]):
        kind = "warm" if number else "cold"
        sys.stdout.write(
            f"{kind} tick {tick['seconds']:6.2f} s, processor {tick['cpu_s']:6.2f} s, "
            f"{tick['due']:.0f} fires due\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
