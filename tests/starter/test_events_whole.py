"""From a task file to the run of an event: the workers, the doors and the answers are real."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client

from domain.events_in import CloudEvent
from domain.policy import Policy
from domain.states import RunState
from sandbox.client import SandboxClient
from starter import control
from starter.answer import Why
from starter.backfill import find_fires
from starter.events import Received, receive
from starter.rules import Rules
from starter.runs import await_end
from starter.tasks import show_task
from starter.why import explain_run
from tests.starter.asking import Asking, text
from tests.starter.conftest import QUEUE
from tests.starter.events import EventTenant
from tests.starter.harness import Cli, eventually_async

RULE = {"event": "order.created", "filter": "data.amount > 100"}
TASK = {"task_id": "a", "plugin_id": "of-events", "triggers": [RULE]}


@pytest.fixture
def asking(temporal: Client, policy: Policy, tenant: str) -> Asking:
    """The test's own tenant."""
    return Asking(temporal, policy, tenant, QUEUE)


def _event(event_id: str) -> CloudEvent:
    return CloudEvent(event_id, "/shop", "order.created", data={"amount": 150})


async def _known(asking: Asking) -> Rules:
    """A process that knows the tenant's task."""
    rules = EventTenant(asking.client, QUEUE, asking.tenant_id).rules()
    await rules.refresh_now()

    async def known() -> bool:
        await rules.refresh_now([(asking.tenant_id, "a")])
        return len(rules.index.match(asking.tenant_id, _event("0")).rules) == 1

    await eventually_async(known)
    return rules


async def _send(asking: Asking, rules: Rules, *event_ids: str) -> list[Received]:
    return await receive(asking.client, rules, asking.tenant_id, [_event(i) for i in event_ids])


@pytest.mark.usefixtures("worker")
async def test_an_event_runs_a_registered_task(
    asking: Asking, plugin: SandboxClient, cli: Cli
) -> None:
    """Its plugin is called; lists, `show`, `why` and `backfill` know what ran and why."""
    await asking.apply(TASK)
    rules = await _known(asking)
    before = await asking.why("a")
    assert before.verdict == "on_event"
    assert before.because == ["it runs when an event order.created with data.amount > 100 comes"]
    (received,) = await _send(asking, rules, "o-17")
    (run,) = received.runs
    ended = await await_end(asking.client, run.run_id)
    assert (ended.status, ended.trigger_kind) == (RunState.SUCCESS, "event")
    (delivery,) = await plugin.deliveries(key=run.run_id)
    assert (delivery.task_id, delivery.outcome) == ("a", "ok")
    (listed,) = cli.json("runs", "a")["runs"]
    assert listed["event"] == {"id": "o-17", "source": "/shop", "type": "order.created"}
    assert listed["nominal_time"] == listed["trigger_time"]
    assert "order.created o-17 from /shop" in cli.ok("runs", "a")
    why = cli.json("why", run.run_id)
    assert (why["run_id"], why["verdict"]) == (run.run_id, "success")
    at = cli.json("why", "a", "--at", listed["nominal_time"])
    assert (at["run_id"], at["verdict"]) == (run.run_id, "success")
    assert (await show_task(asking.client, asking.tenant_id, "a")).next_times == []
    assert ended.nominal_time
    hour = timedelta(hours=1)
    fires = await find_fires(
        asking.client,
        asking.tenant_id,
        "a",
        start=ended.nominal_time - hour,
        end=ended.nominal_time,
    )
    assert (fires.present, fires.absent) == ([], [])


@pytest.mark.usefixtures("worker")
async def test_a_burst_of_events_runs_a_registered_task_once(asking: Asking) -> None:
    """The worker's own `Debounce` workflow tells the others; `why` says what they wait for."""
    await asking.apply(TASK | {"triggers": [RULE | {"debounce": "5s"}], "overlap": "allow"})
    rules = await _known(asking)
    answers = await _send(asking, rules, "1", "2", "3")
    ids = [run.run_id for answer in answers for run in answer.runs]

    async def waits() -> bool:
        answer = await _why(asking, ids[2])
        return answer.verdict == "put_off" and "for a newer event to take its place" in text(answer)

    await eventually_async(waits)
    ends = await asyncio.gather(*(await_end(asking.client, run_id) for run_id in ids))
    assert [run.status for run in ends] == [RunState.SKIPPED, RunState.SKIPPED, RunState.SUCCESS]
    assert "debounced: superseded by the event of " in text(await _why(asking, ids[0]))


async def _why(asking: Asking, run_id: str) -> Why:
    return await explain_run(asking.client, None, run_id, now=datetime.now(UTC), task_queue=QUEUE)


@pytest.mark.usefixtures("worker")
async def test_events_run_no_paused_task(asking: Asking) -> None:
    """They say so; `why` says that they will not come back."""
    await asking.apply(TASK)
    rules = await _known(asking)
    await control.pause(asking.client, asking.tenant_id, "a", who="ann", reason="the shop is shut")
    await rules.refresh_now([(asking.tenant_id, "a")])
    (received,) = await _send(asking, rules, "1")
    assert (received.runs, received.paused) == ([], ["a"])
    answer = await asking.why("a")
    assert answer.verdict == "paused"
    assert answer.because[1] == "events that come meanwhile start no run of it"
