"""`why`, of a run that there is: what it waits for, how far it is, how it ended."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client

from domain.attributes import TASK_RUN
from domain.due import stagger_of
from domain.executions import ExecutionReport, nonce_of
from domain.ids import scheduled_run_id
from domain.policy import Policy
from domain.run import TaskRunInput
from sandbox.client import SandboxClient
from shared.errors import NotFound
from starter import control
from starter.executions import report
from starter.tasks import show_task
from starter.why import MOST_NAMED
from tests.starter.asking import HOUR, SECOND, Asking, text
from tests.starter.conftest import QUEUE

MUTEX = {"mutex_groups": {"db": 1}}


@pytest.fixture
def asking(temporal: Client, policy: Policy, tenant: str) -> Asking:
    """The test's own tenant."""
    return Asking(temporal, policy, tenant, QUEUE)


@pytest.mark.usefixtures("worker")
async def test_a_queued_run_says_behind_whom_until_when_and_when_it_starts(
    asking: Asking, plugin: SandboxClient
) -> None:
    """Its place, the holder, the deadline; the holder's own length tells when it is let in."""
    await plugin.configure("slow", latency=60)
    holder = {"task_id": "holder", "plugin_id": "slow", "mutex": ["db"], "expected_duration": "5m"}
    waiter = {"task_id": "waiter", "mutex": ["db"], "expected_duration": "1h"}
    await asking.apply(holder, waiter | {"queue_timeout": "10m"}, **MUTEX)
    first = await asking.trigger("holder")
    await asking.until("holder", "running")
    second = await asking.trigger("waiter")

    answer = await asking.until("waiter", "waiting")

    now = datetime.now(UTC)
    assert (answer.run_id, answer.holder, answer.position) == (second, first, 1)
    assert f"mutex group db (limit 1, 1 in use) is held by {first}" in answer.because
    assert "it waits until " in text(answer)
    assert "(queue_timeout)" in text(answer)
    assert answer.expected_start is not None
    assert abs(answer.expected_start - now - timedelta(minutes=5)) < 30 * SECOND
    await control.cancel(asking.client, None, first)
    await control.cancel(asking.client, None, second)


@pytest.mark.usefixtures("worker")
async def test_a_run_that_will_not_have_its_turn_in_time_says_so(
    asking: Asking, plugin: SandboxClient
) -> None:
    """The holder takes longer than the waiting run may wait."""
    await plugin.configure("slow", latency=60)
    holder = {"task_id": "holder", "plugin_id": "slow", "mutex": ["db"], "expected_duration": "5m"}
    await asking.apply(
        holder, {"task_id": "waiter", "mutex": ["db"], "queue_timeout": "1m"}, **MUTEX
    )
    first = await asking.trigger("holder")
    await asking.until("holder", "running")
    second = await asking.trigger("waiter")

    answer = await asking.until("waiter", "waiting", says="it waits until")

    assert answer.expected_start is None
    assert "by then it is not expected to have its turn" in text(answer)
    await control.cancel(asking.client, None, first)
    await control.cancel(asking.client, None, second)


@pytest.mark.usefixtures("worker")
async def test_a_running_run_tells_its_attempts(asking: Asking, plugin: SandboxClient) -> None:
    """How the last attempt failed, and whether the next one runs or has its time to come."""
    await plugin.configure("again", script=["fail:BROKEN", "hang"])
    await plugin.configure("later", script=["fail:BROKEN"])
    retry = {"max_attempts": 3, "initial_interval": "100ms"}
    await asking.apply(
        {"task_id": "again", "plugin_id": "again", "retry": retry},
        {"task_id": "later", "plugin_id": "later", "retry": retry | {"initial_interval": "4m"}},
    )
    runs = [await asking.trigger("again"), await asking.trigger("later")]

    again = await asking.until("again", "running", says="is being called: attempt 2 of 3, for ")
    later = await asking.until("later", "retrying", says="attempt 1 failed")

    assert again.run_id == runs[0]
    assert "attempt 1 failed at " in text(again)
    assert "BROKEN" in text(again)
    assert "; next attempt at " in text(later)
    assert later.expected_start is not None
    assert "is being called" not in text(later)
    for run in runs:
        await control.cancel(asking.client, None, run)


@pytest.mark.usefixtures("worker")
async def test_an_ended_run_says_how(asking: Asking, plugin: SandboxClient) -> None:
    """Success and failure with when and why; what was cancelled says when that came."""
    await plugin.configure("bad", script=["reject:WRONG"])
    await plugin.configure("slow", latency=60)
    await asking.apply(
        *({"task_id": name, "plugin_id": name} for name in ("good", "bad", "slow")),
        {"task_id": "gone", "triggers": [{"every": "1h", "offset": "1m"}]},
    )
    for task_id in ("good", "bad", "slow"):
        await asking.trigger(task_id)
    slow = await asking.until("slow", "running", says="attempt 1")
    await control.cancel(asking.client, None, slow.run_id or "")
    missed = await asking.record("gone", _past(), "no run was made")

    good = await asking.until("good", "will_run", says="ended SUCCESS at ")
    bad = await asking.until("bad", "will_run", says="ended FAILED at ")
    cancelled = await asking.until("slow", "will_run", says="ended CANCELLED at ")
    gone = await asking.why("gone", _past())

    assert "the plugin did its work" in text(good)
    assert "WRONG" in text(bad)
    assert "cancelled while its plugin was being called" in text(cancelled)
    assert (gone.verdict, gone.run_id) == ("missed", missed)
    assert "MISSED" in gone.because[0]
    assert gone.because[0].endswith(": no run was made")
    assert gone.because[1] == "its plugin was not called"


def _past() -> datetime:
    """A minute after the last whole hour but one: a fire of `every: 1h, offset: 1m`."""
    return datetime.now(UTC).replace(minute=1, second=0, microsecond=0) - 2 * HOUR


@pytest.mark.usefixtures("worker")
async def test_a_run_of_a_fire_is_found_by_each_of_its_times(asking: Asking) -> None:
    """Nominal and staggered time name the same run; so does the time under triggers long gone."""
    await asking.apply({"task_id": "spread", "stagger": "30m"})
    due = await asking.why("spread", now=_past())
    assert due.at is not None
    task = (await control.describe_task(asking.client, asking.tenant_id, "spread"))[1]
    scheduled = await _skipped(asking, task_id="spread", nominal=due.at)

    by_nominal = await asking.why("spread", due.at)
    by_schedule = await asking.why("spread", scheduled)
    await asking.apply({"task_id": "spread", "triggers": [{"at": "2031-01-01T00:00:00Z"}]})
    by_run = await asking.why("spread", scheduled)

    assert task.stagger
    assert by_nominal.verdict == by_schedule.verdict == by_run.verdict == "missed"
    assert by_nominal.run_id == by_schedule.run_id == by_run.run_id
    assert by_nominal.at == by_schedule.at == due.at


async def _skipped(asking: Asking, *, task_id: str, nominal: datetime) -> datetime:
    """Record the fire of this nominal time as missed, and give back its scheduled time."""
    task = (await control.describe_task(asking.client, asking.tenant_id, task_id))[1]
    scheduled = nominal + stagger_of(task)
    await asking.record(task_id, scheduled, "nobody was there")
    return scheduled


@pytest.mark.usefixtures("worker")
async def test_a_refused_run_says_who_was_in_its_way(asking: Asking, plugin: SandboxClient) -> None:
    """SKIPPED with the rule and the holder; its plugin was not called."""
    await plugin.configure("slow", latency=60)
    await asking.apply(
        {"task_id": "holder", "plugin_id": "slow", "mutex": ["db"]},
        {"task_id": "meek", "mutex": ["db"], "on_conflict": "skip"},
        **MUTEX,
    )
    holder = await asking.trigger("holder")
    await asking.until("holder", "running")
    await asking.trigger("meek")

    answer = await asking.until("meek", "will_skip", says="ended SKIPPED at ")

    assert f"conflict: mutex group db (limit 1, 1 in use) is held by {holder}" in text(answer)
    await control.cancel(asking.client, None, holder)


@pytest.mark.usefixtures("worker")
async def test_a_run_that_a_blackout_puts_off_says_until_when(asking: Asking) -> None:
    """The run exists, waits in its workflow, and starts when the window ends."""
    now = datetime.now(UTC)
    cron = f"{now.minute} {now.hour} * * *"
    window = {"cron": cron, "duration": "2h", "then": "defer", "timezone": "UTC"}
    await asking.apply({"task_id": "late", "blackouts": [window]})
    task = (await control.describe_task(asking.client, asking.tenant_id, "late"))[1]
    run_id = scheduled_run_id(asking.tenant_id, "late", now)
    handle = await asking.client.start_workflow(
        TASK_RUN,
        TaskRunInput(task=task),
        id=run_id,
        task_queue=QUEUE,
    )

    answer = await asking.until("late", "put_off", now)

    assert answer.run_id == run_id
    assert "put off by a blackout" in text(answer)
    assert answer.expected_start == now.replace(second=0, microsecond=0) + 2 * HOUR
    await handle.cancel()


async def test_a_run_without_a_worker_is_pending(
    temporal: Client, policy: Policy, tenant: str
) -> None:
    """It names the command that tells whether any polls; of the others that wait, the first few."""
    asking = Asking(temporal, policy, tenant, f"nobody-{uuid4().hex}")
    await asking.apply({"task_id": "lonely"})
    runs = {await asking.trigger("lonely") for _ in range(MOST_NAMED + 3)}

    answer = await asking.until("lonely", "pending", says=" and 2 more")

    assert answer.run_id in runs
    assert answer.because[0].startswith("no worker has taken it up yet")
    [others] = [said for said in answer.because if said.startswith("also under way: ")]
    assert others.count("run/") == MOST_NAMED
    for run_id in runs:
        await temporal.get_workflow_handle(run_id).terminate()


async def test_a_task_that_is_not_registered_is_not_found(asking: Asking) -> None:
    """Of another tenant or of none: the same error."""
    with pytest.raises(NotFound):
        await asking.why("nix")


@pytest.mark.usefixtures("worker")
async def test_an_accepted_execution_shows_what_its_plugin_told(
    asking: Asking, plugin: SandboxClient
) -> None:
    """`why` and `show` say since when the plugin works on its own, and how far it is."""
    await plugin.configure("long", script=["accept"])
    await asking.apply({"task_id": "long", "plugin_id": "long"})
    run_id = await asking.trigger("long")
    first = await asking.until("long", "running", says="the plugin accepted it at ")
    assert "no progress reported yet" in text(first)
    description = await asking.client.get_workflow_handle(run_id).describe()
    said = ExecutionReport(
        run_id=run_id,
        attempt=1,
        nonce=nonce_of(description.run_id, run_id, 1),
        sequence=0,
        status="RUNNING",
        progress={"rows": 7},
    )
    await report(asking.client, None, said)

    told = await asking.until("long", "running", says='progress: {"rows": 7}')
    (attempt,) = (await show_task(asking.client, asking.tenant_id, "long")).attempts

    assert "its plugin is at work: attempt 1 of " in text(told)
    assert attempt.as_json()["progress"] == {"rows": 7}
    await control.cancel(asking.client, None, run_id)
