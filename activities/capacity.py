"""Reserving and giving back capacity outside: one HTTP call each, asked twice it counts once.

Only a whole, well-formed answer that says `"granted": true` is a grant. Everything else is either
a plain no (`granted` false, with a reason) or an error, and after an error nobody knows whether
the service holds the reservation: whoever gives up must release it.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import structlog
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    model_validator,
)
from temporalio import activity

from activities.answers import RETRYABLE_4XX, Failure, parsed, read_body, retry_after
from activities.errors import capacity_failed
from domain.attributes import RELEASE_CAPACITY, RESERVE_CAPACITY
from domain.capacity import CapacityAnswer, CapacityRelease, CapacityRequest
from domain.problems import shown
from domain.trace import trace_id, traceparent

log = structlog.get_logger(__name__)

PATH = "/ops/capacity/reserve"
MAX_ANSWER_BYTES = 64 * 1024
LONGEST_WAIT = timedelta(days=1)
"""An answer may say when asking again makes sense; past a day it is taken as a day."""


def _wait(value: Any) -> timedelta | None:
    """Seconds as a JSON number, at most a day."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"must be a number of seconds from 0, and this is {shown(value)}")
    return timedelta(seconds=min(value, LONGEST_WAIT.total_seconds()))


class _Said(BaseModel):
    """The body of a 200."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    granted: StrictBool
    reason: Annotated[str, Field(max_length=4000)] | None = None
    retry_after: Annotated[timedelta | None, BeforeValidator(_wait)] = None

    @model_validator(mode="before")
    @classmethod
    def _is_no_error(cls, body: Any) -> Any:
        # Gateways wrap errors in a 200; one that also says `granted` is not to be believed either.
        if isinstance(body, dict) and (
            body.get("error") or ("type" in body and isinstance(body.get("status"), int))
        ):
            raise ValueError("it is an error where an answer was due")
        return body


class CapacityActivities:
    """The activities that reach the capacity service; one instance per worker, safe to share.

    `reserve` and `release` are the same without an activity around them. `timeout` is in seconds,
    for the whole of a call. Without a `base_url` everything is granted and nobody is asked.
    """

    def __init__(self, http: httpx.AsyncClient, base_url: str | None, timeout: float) -> None:
        self._http = http
        self._url = f"{base_url.rstrip('/')}{PATH}" if base_url else None
        self._timeout = timeout

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
        if self._url is None:
            return CapacityAnswer(granted=True)
        said = await self._call(self._url, "reserve", request, parent)
        if isinstance(said, Failure):
            raise capacity_failed(said)
        _log("capacity_asked", request, granted=said.granted, reason=said.reason)
        return CapacityAnswer(
            granted=said.granted, reason=said.reason, retry_after=said.retry_after
        )

    async def release(self, release: CapacityRelease, parent: str) -> None:
        """Give a reservation back; one that the service does not know (404) is given back.

        Errors: as of `reserve`; a service that answers `granted` false still holds it.
        """
        if self._url is None:
            return
        said = await self._call(self._url, "release", release, parent)
        if isinstance(said, _Said) and not said.granted:
            message = f"the capacity service keeps the reservation: {said.reason or 'no reason'}"
            said = Failure("CAPACITY_UNAVAILABLE", message, retry_after=said.retry_after)
        if isinstance(said, Failure):
            raise capacity_failed(said)
        _log("capacity_released", release)

    async def _call(
        self, url: str, action: str, payload: CapacityRequest | CapacityRelease, parent: str
    ) -> _Said | Failure:
        """The request and its whole answer, within the timeout."""
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream(
                    "POST",
                    url,
                    json=_body(action, payload),
                    headers={
                        "Idempotency-Key": f"{payload.reservation_id}/{action}",
                        "traceparent": parent,
                    },
                ) as response,
            ):
                if action == "release" and response.status_code == httpx.codes.NOT_FOUND:
                    return _Said(granted=True)
                return await _read(response, datetime.now(UTC))
        except TimeoutError:
            message = f"the capacity service did not answer within {self._timeout:g} s"
            return Failure("CAPACITY_UNAVAILABLE", message)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            message = f"the call to the capacity service broke: {reason}"
            return Failure("CAPACITY_UNAVAILABLE", message)


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


async def _read(response: httpx.Response, now: datetime) -> _Said | Failure:
    status = response.status_code
    wait = retry_after(response.headers.get("retry-after"), now)
    if status != httpx.codes.OK:
        return _refusal(response, wait)
    body = await read_body(response, MAX_ANSWER_BYTES)
    if body is None:
        return _bad(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    said = parsed(_Said, body)
    if isinstance(said, str):
        return _bad(said)
    if not said.granted and said.retry_after is None and wait is not None:
        return said.model_copy(update={"retry_after": min(wait, LONGEST_WAIT)})
    return said


def _refusal(response: httpx.Response, wait: timedelta | None) -> Failure:
    status = response.status_code
    text = f"the capacity service answered {status} {response.reason_phrase}".rstrip()
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in RETRYABLE_4XX:
        return Failure("CAPACITY_UNAVAILABLE", text, retry_after=wait)
    if status >= httpx.codes.BAD_REQUEST:
        return Failure("CAPACITY_REFUSED", text, retryable=False)
    return _bad(f"{text}, and only 200 is an answer")


def _bad(message: str) -> Failure:
    return Failure("CAPACITY_BAD_ANSWER", message)


def _traceparent() -> str:
    """The trace of the run that asks; each attempt is a span of it."""
    info = activity.info()
    return traceparent(trace_id(info.workflow_id or "", info.workflow_run_id or ""), info.attempt)


def _log(action: str, payload: CapacityRequest | CapacityRelease, **fields: Any) -> None:
    log.info(
        action.replace("_", " "),
        action=action,
        tenant_id=payload.tenant_id,
        task_id=payload.task_id,
        reservation_id=payload.reservation_id,
        **fields,
    )
