"""`python -m tests.workflows.record`: write the histories that the replay tests read.

Record again only when a change of `TaskRun` cannot be made compatible with runs that are open, and
then say so in the change: until it is released, the old histories are what runs in production.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from domain.run import ManualFire
from tests.conftest import start_temporal
from tests.workflows.harness import Handle, Runs, ended, fail, skip, stay_open, succeed

HISTORIES = Path(__file__).parent / "histories"
_QUICK = "retry: {max_attempts: 2, initial_interval: 100ms, max_interval: 100ms}\n"


async def _success(runs: Runs) -> Handle:
    return await runs.start(runs.script(succeed({"rows": 7}), task_id="success"))


async def _retried(runs: Runs) -> Handle:
    task = runs.script(fail("BUSY"), succeed(), lines=_QUICK, task_id="retried")
    return await runs.start(task)


async def _failed(runs: Runs) -> Handle:
    return await runs.start(runs.script(fail("BUSY"), lines=_QUICK, task_id="failed"))


async def _worker_lost(runs: Runs) -> Handle:
    lines = "retry: {max_attempts: 1}\nheartbeat_timeout: 1s"
    task = runs.script(stay_open(heartbeats=False), lines=lines, task_id="worker-lost")
    return await runs.start(task)


async def _cancelled(runs: Runs) -> Handle:
    lines = "heartbeat_timeout: 1s"
    task = runs.script(stay_open(heartbeats=True), lines=lines, task_id="cancelled")
    handle = await runs.start(task)
    await runs.plugin.called(task.task_id)
    await handle.cancel()
    return handle


async def _skipped(runs: Runs) -> Handle:
    return await runs.start(runs.script(skip("the flag is off"), task_id="skipped"))


async def _manual(runs: Runs) -> Handle:
    fire = ManualFire(at=datetime(2026, 11, 23, 2, tzinfo=UTC), payload={"why": "asked"})
    return await runs.start(runs.script(succeed(), task_id="manual"), fire)


async def _scheduled(runs: Runs) -> Handle:
    task = runs.script(succeed(), task_id="scheduled", triggers=[{"every": "10s"}])
    every_second = task.triggers[0].model_copy(update={"every": timedelta(seconds=1)})
    return await runs.first_scheduled(task.model_copy(update={"triggers": [every_second]}))


async def _in_a_blackout(runs: Runs) -> Handle:
    always = [{"cron": "* * * * *", "duration": "5m"}]
    task = runs.script(succeed(), task_id="in-a-blackout", blackouts=always)
    return await runs.fire(task)


STORIES: dict[str, Callable[[Runs], Awaitable[Handle]]] = {
    "success": _success,
    "retried": _retried,
    "failed": _failed,
    "worker_lost": _worker_lost,
    "cancelled": _cancelled,
    "skipped": _skipped,
    "manual": _manual,
    "scheduled": _scheduled,
    "in_a_blackout": _in_a_blackout,
}


def _without_traces(value: Any) -> Any:
    """A history without stack traces: they hold paths of this machine, and no replay reads them."""
    if isinstance(value, dict):
        return {name: _without_traces(item) for name, item in value.items() if name != "stackTrace"}
    return [_without_traces(item) for item in value] if isinstance(value, list) else value


async def record() -> None:
    """Run every story once on a server of its own and keep its history."""
    HISTORIES.mkdir(exist_ok=True)
    async with await start_temporal(identity="recorder") as environment:
        runs = Runs(environment.client)
        async with runs.worker():
            for name, story in STORIES.items():
                handle = await story(runs)
                await ended(handle)
                history = (await handle.fetch_history()).to_json_dict()
                document = {"workflow_id": handle.id, "history": _without_traces(history)}
                file = HISTORIES / f"{name}.json"
                file.write_text(json.dumps(document, indent=1) + "\n")
                sys.stdout.write(f"{file.name}: {len(history['events'])} events\n")


if __name__ == "__main__":
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)  # the failures are on purpose
    asyncio.run(record())
