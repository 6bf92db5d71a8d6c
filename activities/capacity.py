"""Reserving and giving back capacity outside: one HTTP call each, asked twice it counts once.

Only a whole, well-formed answer that says `"granted": true` is a grant. Everything else is either
a plain no (`granted` false, with a reason) or an error, and after an error nobody knows whether
the service holds the reservation: whoever gives up must release it.
"""

from datetime import UTC, timedelta
from typing import Annotated, Any

import httpx
import structlog
from pydantic import BeforeValidator, Field, JsonValue, StrictBool
from temporalio import activity

from activities.service import Service, ServiceAnswer, asked_wait
from domain.attributes import RELEASE_CAPACITY, RESERVE_CAPACITY
from domain.capacity import CapacityAnswer, CapacityRelease, CapacityRequest
from domain.problems import shown
from domain.trace import call_span, trace_id
from shared.tracing import parent_header

log = structlog.get_logger(__name__)

PATH = "/ops/capacity/reserve"
LONGEST_WAIT = timedelta(days=1)
"""An answer may say when asking again makes sense; past a day it is taken as a day."""
LONGEST_RETRY_WAIT = timedelta(minutes=5)
"""A run that waits for capacity is late already: a service that recovers should be met soon."""


def _wait(value: Any) -> timedelta | None:
    """Seconds as a JSON number, at most a day."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"must be a number of seconds from 0, and this is {shown(value)}")
    return timedelta(seconds=min(value, LONGEST_WAIT.total_seconds()))


class _Said(ServiceAnswer):
    """The body of a 200."""

    granted: StrictBool
    reason: Annotated[str, Field(max_length=4000)] | None = None
    retry_after: Annotated[timedelta | None, BeforeValidator(_wait)] = None


class CapacityActivities:
    """The activities that reach the capacity service; one instance per worker, safe to share.

    `reserve` and `release` are the same without an activity around them. `timeout` is in seconds,
    for the whole of a call. Without a `base_url` everything is granted and nobody is asked.
    """

    def __init__(self, http: httpx.AsyncClient, base_url: str | None, timeout: float) -> None:
        url = f"{base_url.rstrip('/')}{PATH}" if base_url else None
        self._service = Service(http, url, timeout, "capacity", LONGEST_RETRY_WAIT) if url else None

    @activity.defn(name=RESERVE_CAPACITY)
    async def reserve_capacity(self, request: CapacityRequest) -> CapacityAnswer:
        """One request for capacity; see `reserve`."""
        return await self.reserve(request, _traceparent())

    @activity.defn(name=RELEASE_CAPACITY)
    async def release_capacity(self, release: CapacityRelease) -> None:
        """One return of a reservation; see `release`."""
        await self.release(release, _traceparent())

    async def reserve(self, request: CapacityRequest, parent: str) -> CapacityAnswer:
        """Ask once; `parent` is the `traceparent` header.

        Errors: `ApplicationError` of type `CAPACITY_UNAVAILABLE` or `CAPACITY_BAD_ANSWER`, to be
        asked again, or `CAPACITY_REFUSED`, which is final.
        """
        if self._service is None:
            return CapacityAnswer(granted=True)
        said = await _call(self._service, "reserve", request, parent)
        _log("capacity_asked", request, granted=said.granted, reason=said.reason)
        return CapacityAnswer(
            granted=said.granted, reason=said.reason, retry_after=said.retry_after
        )

    async def release(self, release: CapacityRelease, parent: str) -> None:
        """Give a reservation back; one that the service does not know (404) is given back.

        Errors: as of `reserve`; a service that answers `granted` false still holds it.
        """
        if self._service is None:
            return
        said = await _call(self._service, "release", release, parent)
        if not said.granted:
            message = f"the capacity service keeps the reservation: {said.reason or 'no reason'}"
            raise self._service.failed("UNAVAILABLE", message, said.retry_after)
        _log("capacity_released", release)


async def _call(
    service: Service, action: str, payload: CapacityRequest | CapacityRelease, parent: str
) -> _Said:
    """The request and its whole answer."""
    headers = {"Idempotency-Key": f"{payload.reservation_id}/{action}", "traceparent": parent}
    async with service.post(_body(action, payload), headers) as response:
        if action == "release" and response.status_code == httpx.codes.NOT_FOUND:
            return _Said(granted=True)
        if response.status_code != httpx.codes.OK:
            raise service.refusal(response, only="200")
        said = await service.answer(response, _Said)
    wait = asked_wait(response)
    if not said.granted and said.retry_after is None and wait is not None:
        return said.model_copy(update={"retry_after": min(wait, LONGEST_WAIT)})
    return said


def _body(action: str, payload: CapacityRequest | CapacityRelease) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {
        "reservation_id": payload.reservation_id,
        "action": action,
        "tenant_id": payload.tenant_id,
        "task_id": payload.task_id,
    }
    if isinstance(payload, CapacityRequest):
        body["resources"] = dict(payload.resources)
        body["start"] = payload.start.astimezone(UTC).isoformat()
        body["duration"] = payload.duration.total_seconds()
    return body


def _traceparent() -> str:
    """The trace of the run that asks; each attempt is a span of it."""
    info = activity.info()
    run_id = info.workflow_id or ""
    trace = trace_id(run_id, info.workflow_run_id or "")
    return parent_header(trace, call_span(trace, run_id, info.activity_id, info.attempt))


def _log(action: str, payload: CapacityRequest | CapacityRelease, **fields: Any) -> None:
    log.info(
        action.replace("_", " "),
        action=action,
        tenant_id=payload.tenant_id,
        task_id=payload.task_id,
        run_id=payload.reservation_id,
        reservation_id=payload.reservation_id,
        **fields,
    )
