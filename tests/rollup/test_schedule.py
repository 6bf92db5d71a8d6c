"""Roll-ups on their schedule, by real workers: made by themselves, and whatever is killed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.ids import ROLLUP_SCHEDULE_ID
from domain.rollup import DAY
from shared.search_attributes import register_search_attributes
from shared.settings import Settings
from shared.watch import last_rollup
from starter.dev.server import remember_for
from starter.doctor import check_rollups
from tests.rollup.harness import RETENTION, Days, busy, same_but_for_latencies
from tests.starter.harness import eventually_async
from tests.starter.past import SECOND
from tests.watch.processes import process, setting
from worker.watch import ROLLING_UP, create_routine, routines_of

TENANTS = 60


async def test_looks_are_made_by_a_schedule_and_go_on_from_each_other(days: Days) -> None:
    """Workers make it; what one look checked the next one knows; the doctor tells how far it is."""
    past = days.tenant()
    await busy(past, "often")
    await past.listed()
    settings = Settings(task_queue=days.queue)
    missing = await check_rollups(days.client, datetime.now(UTC))
    assert (missing.ok, missing.detail) == (False, "it is not scheduled")
    assert ROLLING_UP in routines_of(settings)
    assert ROLLING_UP not in routines_of(settings.model_copy(update={"rollups": False}))

    assert await create_routine(days.client, settings, ROLLING_UP)
    first = await days.looked()
    await days.client.get_schedule_handle(ROLLUP_SCHEDULE_ID).trigger()
    second = await days.looked(after=first.looked_at)

    assert set(first.counted) >= {days.first, days.first + DAY}
    assert (second.counted, second.checked) == ([], first.checked)
    assert len((await days.report(past)).rolled_up) >= 2  # yesterday may not be settled yet
    told = await check_rollups(days.client, datetime.now(UTC))
    assert (told.ok, f"rolled up until {second.through}" in told.detail) == (True, True)
    silent = await check_rollups(days.client, datetime.now(UTC) + timedelta(hours=4))
    assert (silent.ok, silent.detail[:18]) == (False, "has not looked for")


@pytest.mark.soak
async def test_a_worker_that_is_killed_in_the_middle_loses_nothing(
    tmp_path: Path, plugin_url: str
) -> None:
    """Another one takes the look up; no day is counted twice, and none is left out."""
    place = setting(tmp_path, plugin_url, "rollup-killed")
    with process(tmp_path / "server", *place.server):
        client = await place.client()
        await register_search_attributes(client)
        await remember_for(place.address, RETENTION)
        days = Days(client, "rollup-killed")
        with process(tmp_path / "first", *place.worker, **place.environment, TASKFLOW_ROLLUPS="0"):
            for _ in range(TENANTS):
                past = days.tenant()
                task = await past.task("daily", triggers=[{"every": "24h"}])
                for number in (0, 144, 288):
                    await past.ran(task, number, (1 + number) * SECOND / 10)
            for past in days.pasts:
                await past.listed()
        with process(tmp_path / "second", *place.worker, **place.environment) as worker:

            async def some() -> bool:
                return len(await days.shelves()) >= 3

            await eventually_async(some, within=60)
            worker.kill()
        assert await last_rollup(client) is None
        with process(tmp_path / "third", *place.worker, **place.environment):
            await days.looked(within=150)
            now = datetime.now(UTC)
            rolled = await days.report(now=now)
            same_but_for_latencies(rolled, await days.report(now=now, rollups=False))
            assert len(rolled.rolled_up) >= 2
            assert rolled.totals().due == 3 * TENANTS
