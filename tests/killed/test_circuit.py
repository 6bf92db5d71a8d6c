"""A plugin that fails for everybody, and fifty runs on two workers: they wait, and all succeed."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from domain.incidents import order_of
from domain.states import RunState
from shared.breaker_calls import view_breaker
from starter.runs import list_runs
from starter.work_orders import Wanted, list_work_orders
from tests.killed.stack import Stack
from tests.killed.storm import PLUGIN, RUNS_OF_EACH, TENANTS, Storm

pytestmark = pytest.mark.soak

KNOWN_AFTER = timedelta(seconds=6)
"""An open circuit is known to every worker by then."""


def test_runs_whose_plugin_is_ill_show_what_they_wait_for(storm: Storm) -> None:
    """All of them: RETRYING, and for its circuit."""
    assert len(storm.waiting) == len(TENANTS) * RUNS_OF_EACH
    assert {run.status for run in storm.waiting} == {RunState.RETRYING}
    assert {run.waits_for for run in storm.waiting} == {f"circuit:{PLUGIN}"}


async def test_the_circuit_opens_once_and_is_one_piece_of_work(storm: Storm, stack: Stack) -> None:
    """However many runs and workers meet the failure."""
    opened = [line for line in stack.logged("circuit_opened") if line["plugin_id"] == PLUGIN]
    assert len(opened) == 1
    orders = await list_work_orders(stack.client, Wanted(limit=1000))
    about = [order.work_order_id for order in orders if order.plugin_id == PLUGIN]
    assert about == [order_of(PLUGIN, storm.opened_at.timestamp())]


@pytest.mark.fault(15)
def test_a_plugin_that_is_ill_is_left_alone(storm: Storm, measured: Callable[[str], None]) -> None:
    """What was under way when its circuit opened still came, and then one probe at a time."""
    after = [call.started_at - storm.opened_at for call in storm.calls]
    late = [at for at in after if at > KNOWN_AFTER]
    soon = [at for at in after if timedelta(0) < at <= KNOWN_AFTER]
    measured(
        f"circuit: {len(storm.calls)} calls of an ill plugin by {len(storm.waiting)} runs,"
        f" {len(soon)} within {KNOWN_AFTER.seconds} s of its opening, {len(late)} later"
    )
    assert len(soon) <= len(storm.waiting)
    assert len(late) <= 2


@pytest.mark.fault(15)
async def test_the_circuit_closes_by_itself_and_every_run_succeeds(
    storm: Storm, stack: Stack
) -> None:
    """With one effect each, and nothing for the oracle to say."""
    assert {tenant: wrong for tenant, wrong in storm.found.items() if wrong} == {}
    for tenant in TENANTS:
        runs = await list_runs(stack.client, tenant_id=tenant)
        assert {run.status for run in runs} == {RunState.SUCCESS}
    view = await view_breaker(stack.client, PLUGIN)
    assert view is None or view.circuit.state == "CLOSED"
