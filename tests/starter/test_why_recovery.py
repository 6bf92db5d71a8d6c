"""`why`, of runs that failed: between attempts, before an open circuit, undone, and afterwards."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import Client

from activities.answers import Failure
from activities.errors import failed
from domain.ids import work_order_id
from domain.policy import Policy
from domain.run import ExecuteResult
from sandbox.client import SandboxClient
from starter import control, work_orders
from starter.runs import await_end
from tests.starter.asking import Asking, text
from tests.starter.conftest import QUEUE
from tests.workflows.harness import Runs

SLA = {"start_within": "1s", "finish_within": "1h"}


@pytest.fixture
def asking(temporal: Client, policy: Policy, tenant: str) -> Asking:
    """The test's own tenant."""
    return Asking(temporal, policy, tenant, QUEUE)


@pytest.fixture
async def scripted(temporal: Client) -> AsyncIterator[Runs]:
    """Workers in this process whose plugin does as a test says."""
    runs = Runs(temporal)
    async with runs.worker():
        yield runs


@pytest.mark.usefixtures("worker")
async def test_between_two_attempts_the_failure_and_the_next_time_are_told(
    asking: Asking, plugin: SandboxClient
) -> None:
    """In the task's zone, and as what is expected."""
    await plugin.configure("later", script=["fail:BROKEN"])
    retry = {"max_attempts": 3, "initial_interval": "4m"}
    fields = {"triggers": [{"cron": "0 2 1 1 *", "timezone": "Asia/Shanghai"}]}
    await asking.apply({"task_id": "later", "plugin_id": "later", "retry": retry} | fields)
    run_id = await asking.trigger("later")

    answer = await asking.until("later", "retrying", says="; next attempt at ")

    assert answer.run_id == run_id
    assert answer.because[0].startswith("attempt 1 failed at ")
    assert ": `BROKEN`: " in answer.because[0]
    assert " +08:00 (" in answer.because[0].split("; next attempt at ")[1]
    assert answer.expected_start is not None
    assert "it started at " in text(answer)
    await asking.client.get_workflow_handle(run_id).terminate()


async def test_an_open_circuit_is_waited_for(
    temporal: Client, policy: Policy, tenant: str, scripted: Runs
) -> None:
    """Whose it is, since when and why, and when the run asks again: it is no failed attempt."""

    async def open_circuit(attempt: int) -> ExecuteResult:
        failure = Failure(
            "PLUGIN_CIRCUIT_OPEN",
            "not called, because its circuit is open since 2026-11-23 02:00:00 UTC: 9 of 10 fail",
            retry_after=timedelta(minutes=3),
            waits=True,
        )
        raise failed(failure, attempt=attempt, retries=True, published=None, counted=True)

    asking = Asking(temporal, policy, tenant, scripted.queue)
    scripted.plugin.scripts["calls"] = [open_circuit]
    await asking.apply({"task_id": "calls", "plugin_id": "fragile"})
    run_id = await asking.trigger("calls")

    answer = await asking.until("calls", "retrying", says="the circuit of plugin fragile is open")

    assert answer.because[0].endswith(
        ": not called, because its circuit is open since 2026-11-23 02:00:00 UTC: 9 of 10 fail"
    )
    assert answer.because[1].startswith("it asks again at ")
    assert answer.expected_start is not None
    await temporal.get_workflow_handle(run_id).terminate()


@pytest.mark.usefixtures("worker")
async def test_what_is_being_undone_and_was_undone_is_told(
    asking: Asking, plugin: SandboxClient
) -> None:
    """Why it gave up, and the call that undoes it; a pause does not hold that."""
    await plugin.configure("breaks", script=["reject:WRONG"])
    await plugin.configure("undoes", latency=5)
    undo = {"compensation": {"plugin_id": "undoes", "params": {}}}
    await asking.apply({"task_id": "breaks", "plugin_id": "breaks"} | undo)
    run_id = await asking.trigger("breaks")

    under_way = await asking.until("breaks", "compensating", says="compensation, attempt 1 of ")
    ended = await await_end(asking.client, run_id)
    after = await asking.until("breaks", "will_run", says="ended COMPENSATED at ")

    assert under_way.because[0].startswith("it gave up, and what it did is being undone: ")
    assert "WRONG" in under_way.because[0]
    assert ended.retry_count == 0
    assert "; compensated by undoes" in text(after)


@pytest.mark.usefixtures("worker")
async def test_a_broken_sla_and_the_open_work_order_are_told(
    asking: Asking, plugin: SandboxClient
) -> None:
    """Of a run that waits too long, and of one that has failed, until somebody has seen to it."""
    await plugin.configure("slow", latency=60)
    await plugin.configure("breaks", script=["reject:WRONG"])
    await asking.apply(
        {"task_id": "holder", "plugin_id": "slow", "mutex": ["db"]},
        {"task_id": "late", "mutex": ["db"], "sla": SLA},
        {"task_id": "breaks", "plugin_id": "breaks", "work_order": "on_failure", "sla": SLA},
        mutex_groups={"db": 1},
    )
    holder = await asking.trigger("holder")
    await asking.until("holder", "running")
    late = await asking.trigger("late")
    failing = await asking.trigger("breaks")

    waiting = await asking.until("late", "waiting", says="its SLA is broken")
    ordered = await asking.until("breaks", "will_run", says="a work order about it is OPEN")
    await work_orders.resolve(asking.client, asking.tenant_id, failing, by="ann")
    broken = await asking.until("breaks", "will_run", says="did not finish in time")

    assert "its SLA is broken: it did not start in time" in text(waiting)
    assert f"`taskflow work-orders show {work_order_id(failing)}`" in text(ordered)
    assert "its SLA is broken: it did not finish in time" in text(broken)
    assert "a work order about it" not in text(await asking.why("breaks"))
    for run_id in (late, holder):
        await control.cancel(asking.client, None, run_id)
