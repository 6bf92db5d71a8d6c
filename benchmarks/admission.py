"""`python -m benchmarks.admission [--grants N] [--queued N] [--json]`: what one governor holds.

Three figures on one server, of one tenant's governor: grants a second that it makes for a client
which asks and gives back, fifty at a time; the same beside runs that ask it too; and a queue of
runs of all priorities behind one mutex group: how fast it drains, whether in order, and how many
messages that takes. `--json` prints one document: `{"grants", "alone", "beside", "runs_beside",
"queued", "drained_s", "out_of_order", "messages"}`, rates a second.
"""

import argparse
import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from temporalio.client import WorkflowHandle

from benchmarks.scenarios.plain import QUEUE, start_run, task_of
from benchmarks.scenarios.scenario import PLUGIN, TENANT
from benchmarks.stack import Bench, bench_stack
from domain.decisions import Request
from domain.ids import governor_id
from domain.ledger_state import RequestState
from domain.limits import CONCURRENT, Demand, TenantLimits
from shared.calls import at_once
from shared.errors import TaskflowError
from shared.governor import Governors, configure, view_governor
from shared.leave import leave

GRANTS, QUEUED = 1000, 200
RUNS_BESIDE = 100
LEVELS = 5
WARM_UP_SECONDS, WARM_UP_LOOKS = 0.2, 100


async def measure(grants: int, queued: int) -> dict[str, float]:
    """The figures, by the names of the document."""
    async with bench_stack() as bench:
        limits = TenantLimits(max_concurrent=1000)
        await configure(bench.client, TENANT, limits, task_queue=QUEUE)
        governors = Governors(bench.client, QUEUE)
        try:
            await _restored(bench)
            alone = await _ask(governors, grants)
            runs = asyncio.create_task(_governed(bench, RUNS_BESIDE))
            beside = await _ask(governors, grants)
            runs_beside = await runs
        finally:
            await governors.close()
        drained = await _drain(bench, queued)
    figures = {"grants": grants, "alone": alone, "beside": beside, "runs_beside": runs_beside}
    return {**figures, "queued": queued, **drained}


async def _restored(bench: Bench) -> None:
    """Return when the governor has asked the live runs, of which there are none."""
    for _ in range(WARM_UP_LOOKS):
        view = await view_governor(bench.client, TENANT)
        if view and not view.restoring:
            return
        await asyncio.sleep(WARM_UP_SECONDS)
    raise TaskflowError("the governor did not begin")


async def _ask(governors: Governors, count: int) -> float:
    """Grants a second, each given back; the ids are nobody's."""
    now = datetime.now(UTC).timestamp()

    async def one(number: int) -> None:
        demand = Demand(f"t{number}", ((CONCURRENT, 1), (f"mutex:{number}", 1)))
        request = Request(f"nobody/{now}/{number}", demand, now, now + 600)
        answer = await governors.ask(TENANT, RequestState.of(request))
        assert answer.kind == "granted"  # noqa: S101 - a rate of anything else is no rate
        await governors.release(TENANT, request.run_id)

    began = time.perf_counter()
    await at_once(range(count), one)
    return count / (time.perf_counter() - began)


async def _governed(bench: Bench, count: int) -> float:
    """Governed runs a second."""
    task = task_of("beside")

    async def one(number: int) -> None:
        own = task.model_copy(update={"mutex": [f"beside-{number}"]})
        handle = await start_run(bench.client, own, f"beside-{number}", limited=True)
        await handle.result()

    began = time.perf_counter()
    await at_once(range(count), one)
    return count / (time.perf_counter() - began)


async def _drain(bench: Bench, count: int) -> dict[str, float]:
    """Runs of all priorities wait behind one that holds their group, and then go."""
    await bench.sandbox.configure(f"{PLUGIN}-holder", latency=20.0)
    holder = task_of("holder", plugin_id=f"{PLUGIN}-holder").model_copy(update={"mutex": ["queue"]})
    first = await start_run(bench.client, holder, "drain")
    waiting: dict[str, int] = {}
    handles: list[WorkflowHandle[Any, Any]] = []

    async def start(number: int) -> None:
        level = number % LEVELS + 1
        task = task_of("waits", priority=level).model_copy(update={"mutex": ["queue"]})
        handle = await start_run(bench.client, task, f"drain-{number}")
        waiting[handle.id] = level
        handles.append(handle)

    await at_once(range(count), start)
    await first.result()
    before = await _messages(bench)
    began = time.perf_counter()
    await asyncio.gather(*(handle.result() for handle in handles))
    seconds = time.perf_counter() - began
    messages = await _messages(bench) - before
    deliveries = await bench.sandbox.deliveries()
    order = [waiting[delivery.key] for delivery in deliveries if delivery.key in waiting]
    wrong = sum(later < earlier for earlier, later in pairwise(order))
    return {"drained_s": seconds, "out_of_order": wrong, "messages": messages}


async def _messages(bench: Bench) -> int:
    """Updates that the tenant's governor has answered, over all its runs."""
    count = 0
    query = f"WorkflowId = '{governor_id(TENANT)}'"
    async for execution in bench.client.list_workflows(query):
        handle = bench.client.get_workflow_handle(execution.id, run_id=execution.run_id)
        async for event in handle.fetch_history_events():
            count += event.HasField("workflow_execution_update_completed_event_attributes")
    return count


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.admission")
    parser.add_argument("--grants", type=int, default=GRANTS)
    parser.add_argument("--queued", type=int, default=QUEUED)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = asyncio.run(measure(given.grants, given.queued))
    if given.json:
        sys.stdout.write(f"{json.dumps(found, indent=2)}\n")
        return 0
    sys.stdout.write(
        f"one governor: {found['alone']:.0f} grants/s, each given back; "
        f"{found['beside']:.0f} beside governed runs that end at {found['runs_beside']:.1f}/s\n"
        f"{found['queued']} queued runs drained in {found['drained_s']:.1f} s "
        f"({found['queued'] / found['drained_s']:.1f}/s) with {found['messages']} messages to the "
        f"governor; {found['out_of_order']} went before one of a better priority\n"
    )
    return 0


if __name__ == "__main__":
    leave(main())
