"""Escalation of what nobody takes up, on a server that skips the hours between."""

from collections.abc import AsyncIterator

import httpx
import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from domain.notices import Severity
from domain.work_orders import SEVERITIES, Act
from shared.search_attributes import register_search_attributes
from tests.activities.server import RawServer
from tests.conftest import TEMPORAL_BINARY
from tests.recovery.harness import Recovery
from tests.starter.harness import eventually_async


@pytest.fixture(scope="module")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose workflows do not wait for their timers."""
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=str(TEMPORAL_BINARY),
        dev_server_log_level="never",
        data_converter=pydantic_data_converter,
        dev_server_extra_args=[
            "--dynamic-config-value",
            "frontend.WorkflowTimeSkippingEnabled=true",
        ],
    ) as environment:
        await register_search_attributes(environment.client)
        yield environment


@pytest.fixture
async def hurried(
    skipping: WorkflowEnvironment, server: RawServer, http: httpx.AsyncClient
) -> AsyncIterator[Recovery]:
    """Notices and work orders there."""
    recovery = Recovery(skipping.client, server, http)
    async with recovery.working():
        yield recovery


@pytest.mark.parametrize("severity", SEVERITIES)
async def test_what_nobody_takes_up_is_told_again_one_higher_until_critical(
    hurried: Recovery, severity: Severity
) -> None:
    """Each time once, under an id of its own, about the same work order; then never again."""
    notice = hurried.notice(hurried.task(), severity=severity)
    await hurried.told(notice)
    steps = list(SEVERITIES[SEVERITIES.index(severity) + 1 :]) or ["critical"]
    first = notice.breach.breach_id
    expected = [(first, severity)] + [
        (f"{first}/escalation-{number}", higher) for number, higher in enumerate(steps, 1)
    ]

    def told() -> list[tuple[str, str]]:
        return [(r.headers["idempotency-key"], r.body["severity"]) for r in hurried.sent()]

    async def all_told() -> bool:
        return len(told()) >= len(expected)

    await eventually_async(all_told, within=30)
    assert sorted(told()) == sorted(expected)
    order = hurried.order(notice.breach.run_id)
    view = await order.view()
    assert (view.severity, view.escalations) == (steps[-1], len(steps))
    assert {request.body["work_order"]["work_order_id"] for request in hurried.sent()} == {
        view.work_order_id
    }
    last = [note.at for note in view.notes if "told again" in note.what][-1]
    await order.act(Act.ACKNOWLEDGE)
    assert len(hurried.sent()) == len(expected)
    assert last > notice.breach.observed_at


async def test_what_somebody_took_up_is_left_in_peace(recovery: Recovery) -> None:
    """No timer is left that could tell anybody."""
    notice = recovery.notice(recovery.task(), severity="critical")
    await recovery.told(notice)
    order = recovery.order(notice.breach.run_id)
    await order.act(Act.ACKNOWLEDGE)
    events = (await order.handle.fetch_history()).events
    started = [e for e in events if e.HasField("timer_started_event_attributes")]
    cancelled = [e for e in events if e.HasField("timer_canceled_event_attributes")]
    assert len(started) == len(cancelled) == 1
    timer = started[0].timer_started_event_attributes.start_to_fire_timeout
    assert 14 * 60 < timer.ToTimedelta().total_seconds() <= 15 * 60
