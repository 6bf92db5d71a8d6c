"""Faults of every kind at random while everything runs: then it settles, and is judged."""

import asyncio
import os
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from domain.states import RunState
from starter.runs import list_runs
from tests.faults.blows import counted, plan
from tests.faults.door import RETRY, TENANT, Door
from tests.faults.hits import WORKERS, Hits
from tests.faults.seeds import seed
from tests.faults.work import TENANTS, Work
from tests.killed.clock import CLOCK, fires_are_due, register
from tests.killed.stack import Stack, stack_in
from worker.build import GRACE

SECONDS = float(os.environ.get("SOAK_SECONDS") or 300)
SETTLES_WITHIN = 300.0
KNOWN = re.compile(r" have gaps: | was told \d+ times$")
"""What a workflow task told before it was lost with its worker may be decided otherwise when it is
done again, and is then told under the same id: sinks keep the first. And whoever lost the answer
to a breach tells it again, under the same id.
"""
ALL = [*TENANTS, TENANT, CLOCK]


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """One of its own, with a way to everything that a worker needs."""
    async with stack_in(tmp_path, ways=True) as stack:
        yield stack


@pytest.mark.soak
async def test_whatever_fails_whenever_the_oracle_has_nothing_to_say(
    stack: Stack, chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    """Workers, server, API, governors, and the ways between them; runs, a clock, and requests."""

    def say(words: str) -> None:
        with capsys.disabled():
            print(words, flush=True)  # noqa: T201 - whoever waits for minutes sees what happens

    blows = plan(chance, SECONDS)
    say(f"\nseed {seed()}, {SECONDS:g} s: {counted(blows)}")
    await stack.staffed(WORKERS)
    work = Work(stack, chance)
    await work.prepare()
    await register(stack, retry=RETRY, heartbeat_timeout="4s")
    with ExitStack() as ending:
        door = Door(stack, ending)
        await door.open()
        await door.register()
        hits = Hits(stack, door, TENANTS, say)
        asking = asyncio.create_task(_ask(door))
        await asyncio.gather(hits.play(blows), work.go_on(SECONDS))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        if door.pending:
            await door.trigger(door.pending)
        await fires_are_due(stack)
        for worker in hits.leaving:
            await worker.gone(GRACE.total_seconds() + 30)
        found = await _settled(stack, say)
    runs = [
        run for name in ALL for run in await list_runs(stack.client, tenant_id=name, limit=10_000)
    ]
    say(f"seed {seed()}: {dict(Counter(str(run.status) for run in runs))}, {door.refused} 503s")
    say(f"seed {seed()}: {sum(map(len, found.values())) - len(_bad(found))} were told again")
    assert _bad(found) == []
    assert door.wrong == []
    failed = {
        (run.run_id, run.error_code, run.reason)
        for run in runs
        if run.status in (RunState.FAILED, RunState.COMPENSATED) and run.error_code != "BROKEN"
    }
    assert failed == set(), "what plugins said is no fault; no run fails by what was done to it"


def _bad(found: dict[str, list[str]]) -> list[str]:
    return [line for lines in found.values() for line in lines if not KNOWN.search(line)]


async def _settled(stack: Stack, say: Callable[[str], None]) -> dict[str, list[str]]:
    """What is still wrong at the end; what is wrong until then is told."""
    began = time.monotonic()
    while True:
        found = await stack.over(*ALL, within=15)
        wrong = _bad(found)
        took = time.monotonic() - began
        say(f"settling for {took:.0f} s: {'; '.join(wrong[:5]) or 'all is well'} ({len(wrong)})")
        if not wrong or took > SETTLES_WITHIN:
            return found


async def _ask(door: Door) -> None:
    number = 0
    while True:
        await door.trigger(f"k{number}")
        number += 1
        await asyncio.sleep(1)
