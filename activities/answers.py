"""Reading what a plugin runtime answered: a success, or why it is none.

The lower half reads answers of any service: bounded, strict, and never more than was said.
"""

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from domain.document import parse_json
from domain.masking import NOTHING, Mask
from domain.problems import InvalidInput, problems_of

MAX_ANSWER_BYTES = 1024 * 1024
MAX_RESULT_BYTES = 256 * 1024
MAX_ACCEPTANCE_BYTES = 64 * 1024
"""Of the body of a 202, which says nothing: read on so far, so that the connection lives on."""
ACCEPTANCE_SECONDS = 1.0
MOST_CODE, MOST_MESSAGE = 128, 4000
"""Characters of a failure's code and message."""
RETRYABLE_4XX = frozenset({408, 425, 429})
_MOST_SHOWN = 300
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")
"""Of a failure: it is what failures are listed and found by, in plain text, and no sentence."""

Model = TypeVar("Model", bound=BaseModel)


class Answer(BaseModel):
    """The body of a 200, or what a final report says: the plugin finished, well or badly."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    status: Literal["SUCCESS", "FAILED"]
    result: JsonValue = None
    error_code: Annotated[str, Field(max_length=MOST_CODE)] | None = None
    message: Annotated[str, Field(max_length=MOST_MESSAGE)] | None = None
    retryable: bool = True


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed and whether, and when, another makes sense.

    `waits`: the plugin was not called at all, so that it is no attempt.
    """

    code: str
    message: str
    retryable: bool = True
    retry_after: timedelta | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The plugin did its work."""

    result: JsonValue


@dataclass(frozen=True, slots=True)
class Accepted:
    """A 202: the plugin works on, and will report."""


async def read_answer(
    response: httpx.Response, *, now: datetime, mask: Mask = NOTHING
) -> Finished | Accepted | Failure:
    """What the plugin says of the execution, without the values of the secrets that it was given.

    Never takes anything but a whole, well-formed `SUCCESS` for one. Errors: those of httpx, when
    the connection breaks while the body is read.
    """
    if response.status_code == httpx.codes.ACCEPTED:
        # Accepted is what it is, whatever becomes of the body.
        with contextlib.suppress(httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(ACCEPTANCE_SECONDS):
                await read_body(response, MAX_ACCEPTANCE_BYTES)
        return Accepted()
    if response.status_code != httpx.codes.OK:
        return _refusal(response, now, mask)
    body = await read_body(response, MAX_ANSWER_BYTES)
    if body is None:
        return _bad(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
    answer = parsed(Answer, body, mask)
    return _bad(answer) if isinstance(answer, str) else judged(answer)


def judged(answer: Answer) -> Finished | Failure:
    """A well-formed answer, or report: also a success fails when its result is too large."""
    if answer.status == "FAILED":
        code, message = answer.error_code or "PLUGIN_FAILED", answer.message or ""
        if not _CODE.fullmatch(code):
            code, message = "PLUGIN_FAILED", ": ".join(filter(None, [code, message]))
        message = message or "the plugin said FAILED and gave no message"
        return Failure(code, message, retryable=answer.retryable)
    if len(json.dumps(answer.result)) > MAX_RESULT_BYTES:
        message = (
            f"the result is larger than {MAX_RESULT_BYTES} bytes: give back a reference instead"
        )
        return _bad(message, retryable=False)
    return Finished(answer.result)


def _bad(message: str, *, retryable: bool = True) -> Failure:
    return Failure("PLUGIN_BAD_ANSWER", message, retryable=retryable)


def _refusal(response: httpx.Response, now: datetime, mask: Mask) -> Failure:
    status, phrase = response.status_code, response.reason_phrase
    if mask is not NOTHING:  # its own may be what is left of a secret
        phrase = httpx.codes.get_reason_phrase(status)
    text = f"the plugin runtime answered {status} {phrase}".rstrip()
    wait = retry_after(response.headers.get("retry-after"), now)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Failure("PLUGIN_THROTTLED", text, retry_after=wait)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in RETRYABLE_4XX:
        return Failure("PLUGIN_UNAVAILABLE", text, retry_after=wait)
    return Failure("PLUGIN_REFUSED", text, retryable=False)


async def read_body(response: httpx.Response, most: int) -> bytes | None:
    """The whole body, unpacked; None when it is larger than `most` bytes: the rest stays unread."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


def parsed(model: type[Model], body: bytes, mask: Mask = NOTHING) -> Model | str:
    """The body as `model`, else in words what keeps it from being one."""
    try:
        return model.model_validate(mask.json(parse_json(body).data))
    except InvalidInput as error:
        first = error.problems[0]  # there may be as many as the answer has values
        if mask is not NOTHING:  # what is shown of the body may be a part of a secret
            return "the answer is not the contract: not valid JSON"
    except ValidationError as error:
        first = problems_of(error)[0]
    return f"the answer is not the contract: {str(first)[:_MOST_SHOWN]}"


def retry_after(value: str | None, now: datetime) -> timedelta | None:
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
