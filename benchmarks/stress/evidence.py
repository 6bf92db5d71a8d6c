"""What the oracle judges by: all that the outside and Temporal show when all is over."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.stress.load import Load
from benchmarks.stress.play import Played
from benchmarks.stress.stage import Stage
from domain.attributes import TASK_RUN
from domain.governor import GovernorView
from shared.calls import at_once
from shared.governor import view_governor
from starter.runs import RunView, view_of
from tests.killed.oracle import Evidence, wrong

LOOKS, BETWEEN = 5, 2.0
"""Temporal's lists follow its runs, and governors hear of an end, a moment later."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What there is to see, what the oracle finds wrong with it, and events in each history."""

    evidence: Evidence
    findings: list[str]
    history_events: dict[str, int]


async def judge(load: Load, stage: Stage, played: Played, say: Callable[[str], None]) -> Verdict:
    """The oracle's verdict; what it finds wrong at first it looks at again a little later."""
    verdict = await _look(load, stage, played)
    for _ in range(LOOKS):
        if not verdict.findings:
            break
        say(f"the oracle has {len(verdict.findings)} findings, and looks again")
        await asyncio.sleep(BETWEEN)
        verdict = await _look(load, stage, played)
    return verdict


async def _look(load: Load, stage: Stage, played: Played) -> Verdict:
    runs: list[RunView] = []
    events: dict[str, int] = {}
    query = f"WorkflowType = '{TASK_RUN}'"
    async for execution in stage.client.list_workflows(query, page_size=1000):
        if view := await view_of(execution):
            runs.append(view)
            events[view.run_id] = execution.history_length
    books: dict[str, GovernorView] = {}

    async def read(tenant_id: str) -> None:
        if view := await view_governor(stage.client, tenant_id, patience=30.0):
            books[tenant_id] = view

    await at_once(load.tenant_ids, read)
    evidence = Evidence(
        due=frozenset(played.run_ids),
        runs=runs,
        deliveries=await stage.sandbox.deliveries(),
        groups=played.groups,
        reserved=frozenset((await stage.sandbox.capacity()).reserved),
        notifications=(await stage.sandbox.notifications()).notifications,
        lost=_lost(stage),
        books=books,
    )
    return Verdict(evidence, wrong(evidence), events)


def _lost(stage: Stage) -> Counter[str]:
    """How often a breach was told, and the answer was none."""
    text = stage.journal.read_text()
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in text.splitlines() if '"notification"' in line
    ]
    told = (line for line in lines if line["event"] == "notification")
    return Counter(line["breach_id"] for line in told if line["outcome"] != "ok")
