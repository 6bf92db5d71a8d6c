"""Reports by roll-ups and by Temporal's list: the same where both are, and one where one is."""

from datetime import timedelta
from typing import Any

from domain.ids import event_run_id, manual_run_id, rollup_id, scheduled_run_id
from domain.rollup import DAY, start_of
from domain.run import TriggerKind
from domain.sla import SlaStatus
from domain.states import RunState
from tests.rollup.harness import FIRES, Days, busy, level, same_but_for_latencies
from tests.starter.past import MINUTE, SECOND, Past


async def _mixed(past: Past) -> None:
    """Of everything that counts something, around midnights too."""
    often = await busy(past, "often")
    # What ran counts, whether its task is registered still.
    gone = scheduled_run_id(past.tenant_id, "gone", past.at(3))
    shown: dict[str, Any] = {"TRIGGER_TIME": past.at(3), "ACTUAL_START": past.at(3) + 70 * SECOND}
    task = often.model_copy(update={"task_id": "gone"})
    await past.run(task, gone, TriggerKind.CRON, **shown)
    triggers = [{"every": "2h"}, {"every": "1d", "offset": "23h30m"}]
    task = await past.task("mixed", jitter="30s", triggers=triggers)
    await past.ran(task, 0, SECOND, RETRY_COUNT=2)  # at midnight: of the day that begins
    await past.ran(task, 144, 61 * SECOND, SLA_STATUS=SlaStatus.START_BREACHED)
    await past.ran(task, 156, 10 * MINUTE, TASK_STATUS=RunState.FAILED)
    # The record of a fire before midnight is that of the next one too.
    before, until = past.at(2 * 144 - 3), past.at(2 * 144)
    reason = f"overlap; 1 more until {until:%Y-%m-%d %H:%M:%S UTC}"
    record = scheduled_run_id(past.tenant_id, "mixed", before)
    shown = {"TASK_STATUS": RunState.SKIPPED, "TRIGGER_TIME": before}
    await past.run(task, record, TriggerKind.INTERVAL, reason=reason, **shown)
    for number, run_id in enumerate(("event", "hand")):
        at = past.at(2 * 144) - (1 + number) * SECOND / 1000
        if run_id == "event":
            name, kind = event_run_id(past.tenant_id, "mixed", "/s", "1"), TriggerKind.EVENT
        else:
            name, kind = manual_run_id(past.tenant_id, "mixed", "1"), TriggerKind.MANUAL
        await past.run(task, name, kind, TRIGGER_TIME=at, ACTUAL_START=at + SECOND)


async def test_roll_ups_tell_what_the_runs_tell(days: Days) -> None:
    """Of all tenants and of one, of whole days and of parts: nothing twice, nothing left out."""
    one, two = days.tenant(), days.tenant()
    await _mixed(one)
    await busy(two, "other", absent=4)

    looked = await days.look()

    assert looked.counted[-3:] == [days.first, days.first + DAY, days.first + 2 * DAY]
    assert (looked.waiting, looked.through) == ([], days.today - DAY)
    within = {"since": start_of(days.first) + timedelta(hours=5), "until": days.now}
    asked: list[tuple[Past | None, dict[str, Any], int]]
    asked = [(None, {}, 3), (one, {}, 3), (one, within, 2), (None, within, 2)]
    for past, window, whole in asked:
        rolled = await days.report(past, **window)
        pure = await days.report(past, **window, rollups=False)
        assert (len(rolled.rolled_up), len(pure.rolled_up)) == (whole, 0)
        same_but_for_latencies(rolled, pure)
        assert rolled.warnings == pure.warnings
    found = level(await days.report(one), one, "mixed")
    assert (found.due, found.skipped, found.retries, found.breaches) == (3 * 12 + 3 + 1, 2, 2, 1)
    assert found.runs == 5
    assert level(await days.report(one), one, "gone").late == 1


async def test_roll_ups_outlive_the_runs_and_what_is_gone_is_said(days: Days) -> None:
    """What Temporal has forgotten is told long after; and no day is silently empty."""
    past, lost = days.tenant(), days.tenant()
    three = [days.first + DAY * number for number in range(3)]
    for one in (past, lost):
        await busy(one, "often")
    await days.look()
    before = await days.report(past)
    of_all = await days.report()
    for day in three:
        await days.delete_runs(past, day)
    later = days.now + timedelta(days=60)

    after = await days.report(past, now=later)
    pure = await days.report(past, now=later, rollups=False)

    assert after.as_json() == before.as_json()
    assert after.totals().due == FIRES
    assert (await days.report(now=later)).as_json() == of_all.as_json()
    assert (pure.levels, len(pure.warnings)) == ({}, 1)
    assert "nothing was rolled up before" in pure.warnings[0]

    await days.client.get_workflow_handle(rollup_id(lost.tenant_id, days.first, 0)).terminate()
    mine, everybody = await days.report(lost, now=later), await days.report(now=later)

    for report in (mine, everybody):
        assert report.as_json()["gone_days"] == [str(day) for day in three]
        assert "Temporal has forgotten runs" in report.warnings[0]
    assert lost.tenant_id in everybody.warnings[0]
    assert level(everybody, past, "often").due == FIRES
