"""Calls of the capacity service, for tests: what is asked, and how a call fails."""

from datetime import datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError

from activities.capacity import CapacityActivities
from domain.capacity import CapacityRelease, CapacityRequest
from domain.trace import trace_id, traceparent
from tests.activities.conftest import RUN_ID
from tests.activities.server import Answer, RawServer

REQUEST = CapacityRequest(
    reservation_id=RUN_ID,
    tenant_id="acme",
    task_id="report",
    resources={"gpu": 2, "disk": 0},
    start=datetime.fromisoformat("2026-11-23T10:00:00+08:00"),
    duration=timedelta(minutes=1, milliseconds=500),
)
RELEASE = CapacityRelease(reservation_id=RUN_ID, tenant_id="acme", task_id="report")
PARENT = traceparent(trace_id("sweep", ""), 1)


async def failed(
    capacity: CapacityActivities, server: RawServer, answer: Answer, *, release: bool = False
) -> ApplicationError:
    """A call that must fail, and its error."""
    server.answer = answer
    call = capacity.release(RELEASE, PARENT) if release else capacity.reserve(REQUEST, PARENT)
    with pytest.raises(ApplicationError) as failure:
        await call
    return failure.value
