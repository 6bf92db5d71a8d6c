"""Reading what a plugin runtime answered: a success, or why it is none."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from domain.document import parse_json
from domain.problems import InvalidInput

MAX_ANSWER_BYTES = 1024 * 1024
MAX_RESULT_BYTES = 256 * 1024
_RETRYABLE_4XX = {408, 425, 429}


class Answer(BaseModel):
    """The body of a 200: the plugin finished, well or badly."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    status: Literal["SUCCESS", "FAILED"]
    result: JsonValue = None
    error_code: Annotated[str, Field(max_length=128)] | None = None
    message: Annotated[str, Field(max_length=4000)] | None = None
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed and whether, and when, another makes sense."""

    code: str
    message: str
    retryable: bool = True
    retry_after: timedelta | None = None


async def read_answer(response: httpx.Response, *, now: datetime) -> JsonValue | Failure:
    """The result of a finished execution, else the `Failure`.

    Never takes anything but a whole, well-formed `SUCCESS` for one. Errors: those of httpx, when
    the connection breaks while the body is read.
    """
    if response.status_code != httpx.codes.OK:
        return _refusal(response, now)
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            return _bad(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    answer = _parsed(bytes(body))
    return answer if isinstance(answer, Failure) else _result(answer)


def _parsed(body: bytes) -> Answer | Failure:
    try:
        return Answer.model_validate(parse_json(body).data)
    except InvalidInput as error:
        first = str(error.problems[0])[:300]  # there may be as many as the answer has values
        return _bad(f"the answer is not the contract: {first}")
    except ValidationError as error:
        fields = ", ".join(str(detail["loc"][0]) for detail in error.errors() if detail["loc"])
        return _bad(f"the answer is not the contract: {fields or 'no object'}")


def _result(answer: Answer) -> JsonValue | Failure:
    if answer.status == "FAILED":
        return Failure(
            answer.error_code or "PLUGIN_FAILED",
            answer.message or "the plugin said FAILED and gave no message",
            retryable=answer.retryable,
        )
    if len(json.dumps(answer.result)) > MAX_RESULT_BYTES:
        message = (
            f"the result is larger than {MAX_RESULT_BYTES} bytes: give back a reference instead"
        )
        return _bad(message, retryable=False)
    return answer.result


def _bad(message: str, *, retryable: bool = True) -> Failure:
    return Failure("PLUGIN_BAD_ANSWER", message, retryable=retryable)


def _refusal(response: httpx.Response, now: datetime) -> Failure:
    status = response.status_code
    text = f"the plugin runtime answered {status} {response.reason_phrase}".rstrip()
    if status == httpx.codes.ACCEPTED:
        message = "the plugin answered 202: asynchronous executions are not supported yet"
        return Failure("PLUGIN_ASYNC_UNSUPPORTED", message, retryable=False)
    retry_after = _retry_after(response.headers.get("retry-after"), now)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Failure("PLUGIN_THROTTLED", text, retry_after=retry_after)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in _RETRYABLE_4XX:
        return Failure("PLUGIN_UNAVAILABLE", text, retry_after=retry_after)
    return Failure("PLUGIN_REFUSED", text, retryable=False)


def _retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date; None when it is absent, past or nonsense."""
    if not value:
        return None
    delay: Any
    if value.isascii() and value.isdigit():
        delay = timedelta(seconds=min(int(value[:9]), 10**8))
    else:
        try:
            at = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        delay = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return delay if delay > timedelta(0) else None
