"""The forecast on its schedule: looks that carry on where the last one ended."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY
from temporalio.client import ScheduleIntervalSpec
from temporalio.service import RPCError

from domain.ids import FORECAST_SCHEDULE_ID, WATCH_SCHEDULE_ID
from shared.watch import last_forecast
from starter.doctor import check_forecast
from tests.admission.harness import new_tenant
from tests.forecast.harness import Ahead
from tests.starter.harness import eventually_async
from worker.watch import (
    FORECASTING,
    create_routine,
    forecast_metrics,
    keep_scheduled,
    routines_of,
)


async def test_a_conflict_foreseen_by_one_look_is_a_hit_of_the_next(ahead: Ahead) -> None:
    """Two tasks that fire together: warned of, met, and scored across runs of the workflow."""
    missing = await check_forecast(ahead.client, datetime.now(UTC))
    assert (missing.ok, missing.detail) == (False, "it is not scheduled")
    assert "taskflow worker" in missing.fix
    tenant = new_tenant()
    await ahead.register(tenant, "first", "second", seconds=2)

    before, counted = await last_forecast(ahead.client), _hits()
    assert await create_routine(ahead.client, ahead.settings, FORECASTING)
    one = await ahead.looked(since=before)
    assert one.tick.conflicts
    assert f"{tenant}/" in one.tick.warnings[0]
    assert "mutex group warehouse" in one.tick.warnings[0]
    assert one.totals.hit_rate is None
    early = await check_forecast(ahead.client, datetime.now(UTC))
    assert early.ok
    assert early.detail.endswith("none has come so far")
    await ahead.conflicts_since(tenant, one.made_at)
    await ahead.listed_governor(tenant)
    two = await ahead.look()
    three = await ahead.look()

    assert two.tick.score.hits >= 1
    assert (two.tick.score.misses, two.tick.missed) == (0, [])
    assert three.totals == two.totals.plus(three.tick.score)
    assert _hits() - counted == three.totals.hits
    right = await check_forecast(ahead.client, datetime.now(UTC))
    assert right.ok
    assert right.detail.endswith("100 % were foreseen")
    silent = await check_forecast(ahead.client, datetime.now(UTC) + timedelta(hours=1))
    assert (silent.ok, silent.detail[:18]) == (False, "has not looked for")


def _hits() -> float:
    """What the worker of these tests has counted so far."""
    forecast_metrics()
    return REGISTRY.get_sample_value("task_forecast_hits_total") or 0.0


async def test_a_schedule_is_made_once_and_made_again_when_it_is_deleted(
    ahead: Ahead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of workers look after it, and one that is there is left as it is."""
    monkeypatch.setattr("worker.watch.LOOK_AFTER_SECONDS", 0.2)
    handles = [
        ahead.client.get_schedule_handle(name) for name in (WATCH_SCHEDULE_ID, FORECAST_SCHEDULE_ID)
    ]

    async def there() -> bool:
        try:
            return all([await handle.describe() for handle in handles])
        except RPCError:
            return False

    keeping = [asyncio.create_task(keep_scheduled(ahead.client, ahead.settings)) for _ in range(2)]
    try:
        await eventually_async(there)
        for handle in handles:
            await handle.delete()
        await eventually_async(there)
    finally:
        for task in keeping:
            task.cancel()
    assert not await create_routine(ahead.client, ahead.settings, FORECASTING)
    spec = (await handles[1].describe()).schedule.spec
    between = timedelta(minutes=2, seconds=30)
    assert spec.intervals == [ScheduleIntervalSpec(timedelta(minutes=5), between)]
    await handles[1].pause()
    paused = await check_forecast(ahead.client, datetime.now(UTC))
    assert (paused.ok, paused.detail) == (False, "somebody paused it in Temporal")
    for handle in handles:
        await handle.delete()


def test_what_is_turned_off_is_not_scheduled(ahead: Ahead) -> None:
    """By the settings of the workers."""
    off = ahead.settings.model_copy(update={"forecast": False})
    assert FORECASTING in routines_of(ahead.settings)
    assert FORECASTING not in routines_of(off)
