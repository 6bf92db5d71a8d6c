"""From nothing to the end of the last run."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx

from benchmarks.latencies import Latencies, spread
from benchmarks.stress.board import Board
from benchmarks.stress.load import EXCLUSIVE, SECOND, STEADY, Load, Told, fires
from benchmarks.stress.stage import Stage
from benchmarks.stress.usage import Usage
from domain.document import Document
from domain.registration import read_registration
from shared.errors import TaskflowError
from shared.policy import load_policy
from shared.settings import get_settings
from starter.registry import carry_out, make_plan

Say = Callable[[str], None]

CALL_SECONDS, EXCLUSIVE_SECONDS = 0.1, 2.0
"""How long plugins take at all nominal times but the last."""
LOOK, TELL_EVERY = 0.5, 10.0
WORTH_TELLING = 1000
"""Steps of a work that is followed."""
TELL_AGAIN = (1.0, 3.0, 10.0, 30.0, 60.0, 60.0)
"""Seconds after which an event that was not taken is told again: nothing is done twice by that."""
NEAR_THE_END = 50
"""Runs that are still open."""
IDLE = 130.0
"""Seconds without an open run after which none comes any more: the watch has looked twice."""
AHEAD = timedelta(seconds=2)


@dataclass(slots=True)
class Played:
    """What was due, and when: `due` by nominal time (from 0), runs of clocks and of events apart.

    `groups`: the exclusive mutex group of a `tenant/task`. `under_way`: the most runs that Temporal
    had open at a look.
    """

    groups: dict[str, str]
    registered: int = 0
    register_s: float = 0.0
    due: list[dict[str, datetime]] = field(default_factory=list)
    told: list[dict[str, datetime]] = field(default_factory=list)
    answers: Latencies = field(default_factory=Latencies)
    under_way: int = 0

    @property
    def run_ids(self) -> set[str]:
        """Of all runs that there should be."""
        return {run_id for part in [*self.due, *self.told] for run_id in part}


async def play(load: Load, stage: Stage, usage: Usage, say: Say) -> Played:
    """Register, let all nominal times come, and wait until every run has ended or patience has.

    Errors: `TaskflowError` when registering took longer than there was time.
    """
    played, board = Played(load.groups), Board(stage.journal)
    usage.mark("started")
    first = load.first(datetime.now(UTC))
    await _register(load, first, stage, played, say)
    usage.mark("registered")
    say(f"the first nominal time is {first:%H:%M:%S} UTC")
    async with _telling(board, stage, usage, played, say):
        telling: list[asyncio.Task[None]] = []
        for number, nominal in enumerate(load.nominal(first)):
            last = number == load.times - 1
            await _until(nominal.timestamp() - 1)
            await _set_plugins(stage, load, last=last)
            usage.mark(f"nominal time {number + 1}")
            say(f"nominal time {number + 1} of {load.times}: {len(played.due[number])} are due")
            await _until((nominal + load.stagger).timestamp())
            usage.mark(f"window {number + 1} over")
            telling.append(asyncio.create_task(_tell_events(stage, load, number, played, say)))
            if not last:
                await _until((nominal + load.gap).timestamp() - 2)
        await asyncio.gather(*telling)
        if lacks := await _ended(board, stage, played, load.patience.total_seconds()):
            say(f"{lacks} runs have not ended in time")
    usage.mark("all ended")
    return played


async def _register(load: Load, first: datetime, stage: Stage, played: Played, say: Say) -> None:
    """As `taskflow apply` does it, from the text on; then until the API knows of the events."""
    policy, queue = load_policy(get_settings().policy_file), get_settings().task_queue
    document = Document(load.document(first))
    began, clock = datetime.now(UTC), time.perf_counter()
    say(f"registering {load.tasks} tasks of {load.tenants} tenants")
    registration = read_registration(document, policy)
    plan = await make_plan(
        stage.client, registration, task_queue=queue, total=partial(_steps, say=say)
    )
    done = await carry_out(stage.client, plan, total=partial(_steps, say=say))
    played.register_s = time.perf_counter() - clock
    played.registered = len(done.created)
    for warning in done.warnings[:5]:
        say(f"a warning: {warning}")
    say(f"registered {played.registered} in {played.register_s:.1f} s")
    tasks = [wanted.task for wanted in done.created]
    for nominal in load.nominal(first):
        until = nominal + load.stagger
        played.due.append(fires(tasks, nominal - SECOND, until))
    if datetime.now(UTC) > first:
        raise TaskflowError(
            f"{load.tasks} tasks took {played.register_s:.0f} s to register, which is too long: "
            f"{load.lead.total_seconds():.0f} s were left for it, and --spare leaves more"
        )
    while (known := await _rules(stage)) < len(load.heard):
        if datetime.now(UTC) > first - AHEAD:
            # Events that it cannot place it refuses, and they are told again.
            say(f"the API knows {known:.0f} event rules of {len(load.heard)}: on with it")
            return
        await asyncio.sleep(LOOK)
    since = (datetime.now(UTC) - began).total_seconds() - played.register_s
    say(f"the API knew the rules of {len(load.heard)} tasks {since:.1f} s later")


def _steps(what: str, count: int, *, say: Say) -> Callable[[], None]:
    """Says a word at each tenth of a long piece of work."""
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if count >= WORTH_TELLING and done % (count // 10) == 0:
            say(f"{what.lower()}: {done} of {count}")

    return advance


async def _rules(stage: Stage) -> float:
    family = (await stage.metrics())["task_events_in_rules"]
    return sum(sample.value for sample in family.samples)


async def _set_plugins(stage: Stage, load: Load, *, last: bool) -> None:
    """At the last nominal time they accept, and report when all have had time to be accepted."""
    if not last:
        await stage.sandbox.configure(STEADY, latency=CALL_SECONDS)
        await stage.sandbox.configure(EXCLUSIVE, latency=EXCLUSIVE_SECONDS)
        return
    for plugin, seconds in ((STEADY, load.hold.total_seconds()), (EXCLUSIVE, EXCLUSIVE_SECONDS)):
        await stage.sandbox.configure(plugin, script=[f"accept:{seconds:g}"], reports="end")


async def _tell_events(stage: Stage, load: Load, number: int, played: Played, say: Say) -> None:
    """The events of a nominal time, after the fires of its clocks; each is told until taken."""
    sent: dict[str, datetime] = {}
    played.told.append(sent)

    async def tell(told: Told) -> str | None:
        sent[told.run_id] = datetime.now(UTC)
        for pause in TELL_AGAIN:
            if (wrong := await _told(stage, told)) is None:
                return None
            say(f"event {told.event_id} is told again in {pause:g} s: {wrong}")
            await asyncio.sleep(pause)
        return await _told(stage, told)

    works = [partial(tell, told) for told in load.events(number)]
    await spread(works, load.telling.total_seconds(), played.answers)


async def _told(stage: Stage, told: Told) -> str | None:
    """Tell of one event; what was wrong, if anything was."""
    try:
        answer = await stage.http.post(
            "/internal/events", params={"tenant_id": told.tenant_id}, json=told.as_json()
        )
    except httpx.TransportError as error:
        return type(error).__name__
    if answer.status_code != httpx.codes.ACCEPTED:
        return f"{answer.status_code} {answer.text[:200]}"
    [received] = answer.json()["events"]
    runs = [run["run_id"] for run in received["runs"]]
    return None if runs == [told.run_id] else f"{len(runs)} runs"


async def _until(timestamp: float) -> None:
    await asyncio.sleep(max(0.0, timestamp - time.time()))


async def _ended(board: Board, stage: Stage, played: Played, seconds: float) -> int:
    """Wait for the end of all; how many have none when patience has."""
    end, idle_since = time.monotonic() + seconds, time.monotonic()
    while True:
        lacks, running = board.lacks(played.run_ids), await _open_runs(stage)
        now = time.monotonic()
        if running:
            idle_since = now
        if not (lacks or running) or now > end or now - idle_since > IDLE:
            return lacks
        # Counting costs the server something: it is asked often when the end is near.
        await asyncio.sleep(LOOK if running < NEAR_THE_END else TELL_EVERY)


async def _open_runs(stage: Stage) -> int:
    query = "WorkflowType = 'TaskRun' AND ExecutionStatus = 'Running'"
    return (await stage.client.count_workflows(query)).count


@asynccontextmanager
async def _telling(
    board: Board, stage: Stage, usage: Usage, played: Played, say: Say
) -> AsyncIterator[None]:
    """Meanwhile a line of progress every so often."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(TELL_EVERY)
            board.read()
            now = datetime.now(UTC)
            due = sum(at <= now for part in [*played.due, *played.told] for at in part.values())
            played.under_way = max(played.under_way, running := await _open_runs(stage))
            say(
                f"{due} due, {len(board.called)} called, {len(board.ended)} ended; "
                f"{running} runs open, {board.open} with their plugins; {usage.now()}"
            )

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
