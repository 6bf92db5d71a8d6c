"""`why`, of a fire without a run: why none was made, and what becomes of those to come."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client

from domain.ids import schedule_id
from domain.policy import Policy
from sandbox.client import SandboxClient
from starter import control
from tests.starter.asking import HOUR, SECOND, Asking, daily, hour_ahead, text
from tests.starter.conftest import QUEUE
from tests.starter.harness import eventually_async

LONG_AFTER = timedelta(days=40)


@pytest.fixture
def asking(temporal: Client, policy: Policy, tenant: str) -> Asking:
    """The test's own tenant."""
    return Asking(temporal, policy, tenant, QUEUE)


@pytest.mark.usefixtures("worker")
async def test_a_fire_of_the_past_without_a_run_is_told_by_its_age(asking: Asking) -> None:
    """Just due; then the watch's business; then a fault; then older than Temporal remembers."""
    await asking.apply({"task_id": "quiet"})
    fire = hour_ahead()

    just = await asking.why("quiet", fire, now=fire + 5 * SECOND)
    soon = await asking.why("quiet", fire, now=fire + 60 * SECOND)
    never = await asking.why("quiet", fire, now=fire + 600 * SECOND)
    old = await asking.why("quiet", fire, now=fire + LONG_AFTER)

    assert (just.verdict, soon.verdict, never.verdict, old.verdict) == (
        *("due", "not_made", "not_made"),
        "beyond_retention",
    )
    assert "within two minutes" in text(soon)
    assert "taskflow doctor" in text(never)
    assert "Temporal keeps ended runs for " in text(old)


@pytest.mark.usefixtures("worker")
async def test_what_was_not_expected_is_said_with_the_reason(asking: Asking) -> None:
    """Before its registration, under other triggers, while paused: no run was to be made."""
    await asking.apply({"task_id": "young"})
    await asyncio.sleep(1.1)
    then = datetime.now(UTC).replace(microsecond=0)
    await asking.apply({"task_id": "young", "triggers": [{"at": then.isoformat()}, *HOURLY]})
    await control.pause(asking.client, asking.tenant_id, "young", who="ann", reason="rest")
    fire = hour_ahead()

    before = await asking.until("young", "not_expected", fire - 24 * HOUR)
    other = await asking.why("young", then)
    paused = await asking.why("young", fire, now=fire + HOUR)

    assert "the task was registered later, at " in text(before)
    assert (other.verdict, other.because) == ("not_expected", ["the task had other triggers then"])
    assert (paused.verdict, paused.because) == ("not_expected", ["the task was paused then"])


HOURLY: list[dict[str, Any]] = [{"every": "1h"}]


@pytest.mark.usefixtures("worker")
async def test_the_run_that_kept_a_fire_out_is_named(asking: Asking, plugin: SandboxClient) -> None:
    """`overlap: skip` is Temporal's own: the run before was still under way."""
    await plugin.configure("slow", latency=60)
    await asking.apply({"task_id": "long", "plugin_id": "slow", "overlap": "skip"})
    run_id = await asking.trigger("long")
    await asking.until("long", "running")
    fire = hour_ahead()

    answer = await asking.why("long", fire, now=fire + 60 * SECOND)

    assert answer.verdict == "not_made"
    assert f"overlap: {run_id} was still under way" in answer.because
    await control.cancel(asking.client, None, run_id)


@pytest.mark.usefixtures("worker")
async def test_a_fire_that_the_watch_counted_in_another_record_is_found_there(
    asking: Asking,
) -> None:
    """After an outage one record stands for many fires: each of them is told as it says."""
    first = datetime.now(UTC).replace(microsecond=0) + 3 * SECOND
    fires = [first, first + SECOND]
    triggers = [{"at": at.isoformat()} for at in fires]
    await asking.apply({"task_id": "many", "triggers": triggers})
    await asking.client.get_schedule_handle(schedule_id(asking.tenant_id, "many")).pause()
    await asyncio.sleep((fires[1] - datetime.now(UTC)).total_seconds() + 0.2)
    reason = f"nobody was there; 1 more until {fires[1]:%Y-%m-%d %H:%M:%S} UTC"
    record = await asking.record("many", first, reason)
    later = fires[1] + 60 * SECOND

    async def counted() -> bool:
        return (await asking.why("many", fires[1], now=later)).verdict == "missed"

    await eventually_async(counted)
    answer = await asking.why("many", fires[1], now=later)

    assert (answer.verdict, answer.run_id) == ("missed", None)
    assert answer.because == [f"the watch counted it in {record}: {reason}"]


async def test_a_time_at_which_nothing_fires_names_the_fires_around_it(
    temporal: Client, policy: Policy, tenant: str
) -> None:
    """In the task's zone and in UTC; after the last one it says so."""
    asking = Asking(temporal, policy, tenant, f"nobody-{uuid4().hex}")
    zone = {"cron": "0 2 * * *", "timezone": "Asia/Shanghai"}
    await asking.apply(
        {"task_id": "nightly", "triggers": [zone]},
        {"task_id": "once", "triggers": [{"at": "2031-01-01T00:00:00Z"}]},
    )

    answer = await asking.why("nightly", datetime(2027, 6, 1, 12, tzinfo=UTC))
    after = await asking.why("once", datetime(2031, 1, 1, 0, 0, 5, tzinfo=UTC))

    assert (answer.verdict, answer.zone) == ("no_fire", "Asia/Shanghai")
    assert answer.because == [
        "no trigger of the task fires at 2027-06-01 20:00 +08:00 (12:00 UTC)",
        "the fire before is at 2027-06-01 02:00 +08:00 (18:00 UTC)",
        "the next is at 2027-06-02 02:00 +08:00 (18:00 UTC)",
    ]
    assert after.because[1:] == [
        "the fire before is at 2031-01-01 00:00 UTC",
        "none fires after that",
    ]


async def test_a_fire_is_named_by_its_nominal_its_scheduled_or_its_trigger_time(
    temporal: Client, policy: Policy, tenant: str
) -> None:
    """All three are the same fire, and the answer tells when it is due."""
    asking = Asking(temporal, policy, tenant, f"nobody-{uuid4().hex}")
    await asking.apply({"task_id": "spread", "stagger": "20m", "jitter": "10m"})
    nominal = hour_ahead(50)

    answer = await asking.why("spread", nominal)
    due = answer.expected_start
    assert due is not None
    by_trigger = await asking.why("spread", due)

    assert (answer.verdict, answer.at, by_trigger.at) == ("will_run", nominal, nominal)
    assert nominal < due < nominal + timedelta(minutes=30)
    assert answer.because[0].startswith("with its stagger and jitter it is due at ")
    assert by_trigger.because == answer.because


@pytest.mark.usefixtures("worker")
async def test_the_next_fire_runs_waits_is_skipped_or_fails(asking: Asking) -> None:
    """As the forecast of the same hours has it, with what it meets and when it starts."""
    at = hour_ahead()
    shared = {"mutex": ["db"], "triggers": daily(at)}
    await asking.apply(
        {"task_id": "a-first", "expected_duration": "4m", "priority": 1} | shared,
        {"task_id": "fails", "on_conflict": "fail"} | shared,
        {"task_id": "skips", "on_conflict": "skip"} | shared,
        {"task_id": "waits"} | shared,
        mutex_groups={"db": 1},
    )

    first = await asking.until("a-first", "will_run")
    waits = await asking.until("waits", "will_wait")
    skips = await asking.until("skips", "will_skip")
    fails = await asking.until("fails", "will_fail")

    assert (first.at, first.expected_start) == (at, at)
    assert first.because == ["nothing is foreseen that it would have to wait for"]
    assert waits.because == ["it waits 4m for mutex group db, held by a-first"]
    assert waits.expected_start == at + timedelta(minutes=4)
    assert skips.because == ["it is skipped because of mutex group db, held by a-first"]
    assert fails.because == ["it fails because of mutex group db, held by a-first"]
    assert (skips.expected_start, fails.expected_start) == (None, None)


@pytest.mark.usefixtures("worker")
async def test_who_holds_now_is_in_the_way_of_the_next_fire(
    asking: Asking, plugin: SandboxClient
) -> None:
    """The forecast begins with the runs under way, for as long as theirs usually take."""
    await plugin.configure("slow", latency=60)
    at = datetime.now(UTC).replace(microsecond=0) + 90 * SECOND
    await asking.apply(
        {"task_id": "holder", "plugin_id": "slow", "mutex": ["db"], "expected_duration": "5m"},
        {"task_id": "next", "mutex": ["db"], "triggers": [{"at": at.isoformat()}]},
        mutex_groups={"db": 1},
    )
    run_id = await asking.trigger("holder")
    await asking.until("holder", "running")

    answer = await asking.until("next", "will_wait")

    assert answer.at == at
    assert "for mutex group db, held by holder" in text(answer)
    assert answer.expected_start is not None
    assert abs(answer.expected_start - datetime.now(UTC) - timedelta(minutes=5)) < 30 * SECOND
    await control.cancel(asking.client, None, run_id)


@pytest.mark.usefixtures("worker")
async def test_the_next_fire_may_be_paused_in_a_blackout_or_never(asking: Asking) -> None:
    """Paused with its note; skipped or put off with the window; never; too far ahead to tell."""
    window = {"cron": "0 0 * * *", "duration": "24h", "timezone": "UTC"}
    far = [{"at": "2031-01-01T00:00:00Z"}]
    await asking.apply(
        {"task_id": "paused"},
        {"task_id": "dark", "blackouts": [window | {"then": "skip"}]},
        {"task_id": "late", "blackouts": [window | {"duration": "23h30m", "then": "defer"}]},
        {"task_id": "over", "triggers": [{"at": "2020-01-01T00:00:00Z"}]},
        {"task_id": "far", "triggers": far, "mutex": ["db"]},
        mutex_groups={"db": 1},
    )
    await control.pause(asking.client, asking.tenant_id, "paused", who="ann", reason="rest")
    noon = hour_ahead(48).replace(hour=12)

    paused = await asking.why("paused")
    dark = await asking.why("dark", noon)
    late = await asking.why("late", noon)
    over = await asking.why("over")
    away = await asking.why("far")

    assert paused.verdict == "paused"
    assert "paused by ann" in text(paused)
    assert dark.verdict == "will_skip"
    assert dark.because[0].startswith("it is due in a blackout (0 0 * * *, UTC) until ")
    assert (late.verdict, late.expected_start) == ("put_off", noon.replace(hour=23, minute=30))
    assert late.because[0].startswith("it is put off by a blackout (0 0 * * *, UTC) until ")
    assert (over.verdict, over.at) == ("never", None)
    assert over.because == ["no trigger of the task fires any more"]
    assert (away.verdict, away.because) == (
        "will_run",
        ["that is too far ahead to tell what it may wait for"],
    )


async def test_without_a_worker_the_next_fire_is_told_without_what_it_meets(
    temporal: Client, policy: Policy, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is due all the same, and the answer says why no more is known."""
    monkeypatch.setattr("starter.present.PATIENCE_SECONDS", 2.0)
    asking = Asking(temporal, policy, tenant, f"nobody-{uuid4().hex}")
    await asking.apply({"task_id": "alone", "mutex": ["db"]}, mutex_groups={"db": 1})

    answer = await asking.until("alone", "will_run", says="what it may wait for is not known: ")

    assert "no worker answers" in text(answer)
