"""Many due in the same second, without stagger: our schedules beside bare ones, taking turns.

A bare one starts a workflow that makes the call and nothing else. Both are on one server, whose
worker for the bare ones is a process of its own, with the options of ours. Tasks are of twenty
tenants, and need nothing that is limited.
"""

import asyncio
import math
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
)

from benchmarks.latencies import Latencies
from benchmarks.machine import this_machine
from benchmarks.scenarios import bare
from benchmarks.scenarios.scenario import PARAMS, PLUGIN
from benchmarks.stress.board import Board
from domain.document import Document
from domain.registration import read_registration
from sandbox.client import SandboxClient
from shared.calls import at_once
from shared.errors import TaskflowError
from shared.policy import load_policy
from shared.settings import ROOT, get_settings
from starter.dev.child import Child
from starter.dev.options import DevOptions
from starter.dev.stack import dev_stack
from starter.registry import carry_out, make_plan

TENANTS = 20
SLOWER = 1.5
"""Than few schedules are many made, at most."""
CALLED_WITHIN = timedelta(minutes=5)
"""After it is due a run counts as lost: a server that has too much to do loses the answer to a
worker's poll now and then, and makes good for it when the attempt's timeout is over."""
SETTLED_WITHIN = timedelta(minutes=1)

Say = Callable[[str], None]
Register = Callable[[Client, str, int, datetime], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Place:
    client: Client
    sandbox: SandboxClient
    journal: Path


async def ours(client: Client, name: str, count: int, at: datetime) -> None:
    """So many tasks, once at an instant, as `taskflow apply` registers them."""
    said = [
        {
            "tenant_id": f"{name}-{number % TENANTS}",
            "task_id": f"t{number}",
            "plugin_id": "curve",
            "triggers": [{"at": at.isoformat()}],
        }
        for number in range(count)
    ]
    policy = load_policy(get_settings().policy_file)
    registration = read_registration(Document({"tasks": said}), policy)
    queue = get_settings().task_queue
    await carry_out(client, await make_plan(client, registration, task_queue=queue))


async def bare_schedules(client: Client, name: str, count: int, at: datetime) -> None:
    """The least that is started at that instant."""
    once = ScheduleCalendarSpec(
        second=[ScheduleRange(at.second)],
        minute=[ScheduleRange(at.minute)],
        hour=[ScheduleRange(at.hour)],
        day_of_month=[ScheduleRange(at.day)],
        month=[ScheduleRange(at.month)],
        year=[ScheduleRange(at.year)],
    )

    async def create(number: int) -> None:
        action = ScheduleActionStartWorkflow(
            bare.BareRun.run,
            args=[PLUGIN, PARAMS],
            id=f"run/{name}/t{number}",
            task_queue=bare.UNSANDBOXED_QUEUE,
        )
        schedule = Schedule(
            action=action,
            spec=ScheduleSpec(calendars=[once]),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL),
        )
        await client.create_schedule(f"{name}/t{number}", schedule)

    await at_once(range(count), create)


KINDS: dict[str, Register] = {"ours": ours, "bare": bare_schedules}


async def curve(sizes: Sequence[int], rounds: int, say: Say) -> dict[str, Any]:
    """`{"machine", "curve"}`, the second a row for each size: medians, and all rounds.

    Errors: `TaskflowError` when registering took longer than there was time.
    """
    rows: list[dict[str, Any]] = []
    async with _place() as place:
        rate = 100.0
        for size in sizes:
            turns: list[dict[str, dict[str, float]]] = []
            for number in range(rounds):
                order = list(KINDS) if number % 2 == 0 else list(reversed(KINDS))
                found: dict[str, dict[str, float]] = {}
                for kind in order:
                    lead = timedelta(seconds=SLOWER * size / rate + 3)
                    found[kind], rate = await _turn(place, kind, number, size, lead)
                    times = ", ".join(f"{name} {value:.1f}" for name, value in found[kind].items())
                    say(f"{size} due at once, round {number + 1}, {kind}: {times}")
                turns.append(found)
            rows.append(_row(size, turns))
        return {"machine": asdict(await this_machine(place.client)), "curve": rows}


async def _turn(
    place: _Place, kind: str, number: int, size: int, lead: timedelta
) -> tuple[dict[str, float], float]:
    """The latencies of one kind, and how many were registered in a second."""
    at = datetime.fromtimestamp(math.ceil(time.time() + lead.total_seconds()), UTC)
    name = f"{kind}-{size}-{number}"
    board, clock = Board(place.journal), time.perf_counter()
    await KINDS[kind](place.client, name, size, at)
    rate = size / (time.perf_counter() - clock)
    if datetime.now(UTC) > at:
        raise TaskflowError(f"{size} took longer to register than the {lead} that were left for it")

    def own() -> list[str]:
        board.read()
        return [key for key in board.ended if key.startswith(f"run/{name}")]

    await _within(at + CALLED_WITHIN, lambda: _true(len(own()) == size))
    await _within(datetime.now(UTC) + SETTLED_WITHIN, lambda: _is_quiet(place.client))
    began = {found.key: found.started_at for found in await place.sandbox.deliveries()}
    found = Latencies([(began[key] - at).total_seconds() for key in own()]).summary()
    times = {"p50_s": found.p50_ms / 1000, "p99_s": found.p99_ms / 1000}
    return times | {"max_s": found.max_ms / 1000, "not_called": float(size - found.count)}, rate


async def _within(end: datetime, done: Callable[[], Awaitable[bool]]) -> None:
    """Return when it is so, or then."""
    while not await done() and datetime.now(UTC) < end:  # noqa: ASYNC110  # no event tells of it
        await asyncio.sleep(0.5)


async def _true(value: bool) -> bool:
    return value


async def _is_quiet(client: Client) -> bool:
    """Whether no run is open that the next turn would meet."""
    query = "WorkflowType IN ('TaskRun', 'BareRun') AND ExecutionStatus = 'Running'"
    return not (await client.count_workflows(query)).count


def _row(size: int, turns: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    middle = {
        kind: {
            name: round(median(turn[kind][name] for turn in turns), 2) for name in turns[0][kind]
        }
        for kind in KINDS
    }
    ratio = {
        name: round(median(_ratio(turn, f"{name}_s") for turn in turns), 2)
        for name in ("p50", "p99", "max")
    }
    return {"due": size, "rounds": turns, **middle, "ratio": ratio}


def _ratio(turn: dict[str, dict[str, float]], name: str) -> float:
    return turn["ours"][name] / max(turn["bare"][name], 0.001)


@asynccontextmanager
async def _place() -> AsyncIterator[_Place]:
    """Server, sandbox, our worker and that of the bare ones; nothing is left behind."""
    with tempfile.TemporaryDirectory(prefix="taskflow-stress-") as name:
        folder = Path(name)
        options = DevOptions(
            port=0,
            sandbox_port=0,
            metrics_port=0,
            headless=True,
            db=folder / "temporal.db",
            state_dir=folder / "state",
            sandbox_log=folder / "sandbox.jsonl",
            parts=("temporal", "sandbox", "worker"),
        )
        async with dev_stack(options) as stack:
            await stack.tree.start(_bare_worker(folder / "bare.ready", stack.env))
            if stack.sandbox_url is None:
                raise TaskflowError("the sandbox was not started")
            async with SandboxClient(stack.sandbox_url, timeout=60.0) as sandbox:
                yield _Place(await stack.connect(), sandbox, folder / "sandbox.jsonl")


def _bare_worker(ready_file: Path, env: dict[str, str]) -> Child:
    async def ready() -> bool:
        return ready_file.exists()  # noqa: ASYNC240  # on a local disk

    return Child(
        "bare-worker",
        (sys.executable, "-P", "-m", "benchmarks.stress.bare_worker"),
        # Benchmarks are not installed, and `-P` keeps the folder that one stands in out of the way.
        {**env, "PYTHONPATH": str(ROOT), "TASKFLOW_READY_FILE": str(ready_file)},
        ready,
    )
