"""Calls of a service that is no plugin: one deadline, and only a whole, well-formed answer counts.

A call that comes to nothing is an `ApplicationError` whose type begins with the service's name:
`..._UNAVAILABLE` and `..._BAD_ANSWER`, to be tried again, and `..._REFUSED`, which is final.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, JsonValue, model_validator
from temporalio.exceptions import ApplicationError

from activities.answers import RETRYABLE_4XX, Failure, parsed, read_body, retry_after
from activities.errors import service_failed

MAX_ANSWER_BYTES = 64 * 1024
What = Literal["UNAVAILABLE", "BAD_ANSWER", "REFUSED"]


class ServiceAnswer(BaseModel):
    """The body of a good answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _is_no_error(cls, body: Any) -> Any:
        # Gateways wrap errors in a 200; one that also has our fields is not to be believed either.
        if isinstance(body, dict) and (
            body.get("error") or ("type" in body and isinstance(body.get("status"), int))
        ):
            raise ValueError("it is an error where an answer was due")
        return body


Answer = TypeVar("Answer", bound=ServiceAnswer)


@dataclass(frozen=True, slots=True)
class Service:
    """`name` as in "the capacity service". `timeout` is in seconds, for the whole of a call.

    `longest` bounds the wait that the service may ask for before the call is tried again.
    """

    http: httpx.AsyncClient
    url: str
    timeout: float
    name: str
    longest: timedelta

    @asynccontextmanager
    async def post(
        self, body: dict[str, JsonValue], headers: dict[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """The response, to be read inside; the deadline is for that, too."""
        try:
            async with (
                asyncio.timeout(self.timeout),
                self.http.stream("POST", self.url, json=body, headers=headers) as response,
            ):
                yield response
        except TimeoutError:
            message = f"the {self.name} service did not answer within {self.timeout:g} s"
            raise self.failed("UNAVAILABLE", message) from None
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            message = f"the call to the {self.name} service broke: {reason}"
            raise self.failed("UNAVAILABLE", message) from None

    async def answer(self, response: httpx.Response, model: type[Answer]) -> Answer:
        """The body, when it is small enough and what it should be."""
        body = await read_body(response, MAX_ANSWER_BYTES)
        if body is None:
            raise self.failed("BAD_ANSWER", f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        found = parsed(model, body)
        if isinstance(found, str):
            raise self.failed("BAD_ANSWER", found)
        return found

    def refusal(self, response: httpx.Response, *, only: str) -> ApplicationError:
        """Another status than those that are an answer."""
        status = response.status_code
        text = f"the {self.name} service answered {status} {response.reason_phrase}".rstrip()
        if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in RETRYABLE_4XX:
            return self.failed("UNAVAILABLE", text, asked_wait(response))
        if status >= httpx.codes.BAD_REQUEST:
            return self.failed("REFUSED", text)
        return self.failed("BAD_ANSWER", f"{text}, and only {only} is an answer")

    def failed(
        self, what: What, message: str, retry_after: timedelta | None = None
    ) -> ApplicationError:
        """A call that came to nothing."""
        code, retryable = f"{self.name.upper()}_{what}", what != "REFUSED"
        return service_failed(Failure(code, message, retryable, retry_after), self.longest)


def asked_wait(response: httpx.Response) -> timedelta | None:
    """How long the service asks to be left alone; None when it does not."""
    return retry_after(response.headers.get("retry-after"), datetime.now(UTC))
