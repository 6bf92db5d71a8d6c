"""What the forecast warns of against what really collides, over a day of tasks at speed."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from temporalio.client import Client

from domain import scoring
from domain.policy import Policy
from sandbox.client import SandboxClient
from tests.conftest import start_temporal
from tests.forecast.day import plugins, the_day
from tests.forecast.reality import live_through, warmed_up
from tests.watch.processes import QUIET, process

QUEUE = "reality"
SPEED = 20
"""A second here stands for so many: what the product allows a minute is allowed three seconds."""

Lively = tuple[Client, SandboxClient]


@pytest.fixture
async def lively(
    policy: Policy, plugin: SandboxClient, plugin_url: str, tmp_path: Path
) -> AsyncIterator[Lively]:
    """A server on which the day goes on, run by a worker process, and durations are learned."""
    async with await start_temporal() as environment:
        client: Client = environment.client
        await plugins(plugin)
        settings = {
            "TEMPORAL_ADDRESS": client.service_client.config.target_host,
            "TASKFLOW_TASK_QUEUE": QUEUE,
            "TASKFLOW_PLUGIN_URL": plugin_url,
            **QUIET,
        }
        with process(tmp_path / "worker.log", sys.executable, "-m", "worker", **settings):
            await warmed_up(client, the_day(policy), task_queue=QUEUE)
            yield client, plugin


@pytest.mark.parametrize(
    ("looks", "every"),
    [
        pytest.param(4, 10.0, id="a minute", marks=pytest.mark.soak),
        pytest.param(40, 15.0, id="ten minutes", marks=pytest.mark.soak),
    ],
)
async def test_nine_real_conflicts_of_ten_are_foreseen(
    lively: Lively,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    looks: int,
    every: float,
) -> None:
    """Each conflict that a governor noted, judged by the forecast before it; most alarms come."""
    client, sandbox = lively
    monkeypatch.setattr("domain.scoring.TOLERANCE", scoring.TOLERANCE / SPEED)
    found = await live_through(client, sandbox, task_queue=QUEUE, looks=looks, every=every)
    score, said = found.score, found.said()
    print(f"\nforecast against reality: {said}")  # noqa: T201 - the figures, with -s
    record_property("hit_rate", score.hit_rate)
    record_property("precision", score.precision)
    if found.judged < looks / 2:
        pytest.skip(f"this machine is too busy for a day at this speed: {said}")
    assert score.hits + score.misses >= 10
    assert (score.hit_rate or 0) >= 0.9, said
    assert (score.precision or 0) >= 0.7, said
