"""Bodies of requests: measured while they arrive, then read strictly."""

import asyncio
from email.message import Message
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from domain.document import Document, parse_json
from domain.problems import InvalidInput, Path, Problem, problems_of
from starter.api.problems import HttpRefusal

REGISTRATION_BYTES = 256 * 1024
EVENT_BYTES = 64 * 1024
BATCH_BYTES = 1024 * 1024
SMALL_BYTES = 64 * 1024
"""Of bodies that hold a reason, or the payload of a run by hand."""
BODY_SECONDS = 30.0
"""In which a body must have come whole."""

_AT_ONCE_BYTES = 64 * 1024
_LONGEST_TYPE = 1000

JSON = "application/json"

AnyModel = TypeVar("AnyModel", bound=BaseModel)


async def read_bytes(request: Request, limit: int) -> bytes:
    """The body; too large a one is refused before it is read, and while it is when nobody said.

    Errors: `HttpRefusal` 413, and 408 for a body that does not come.
    """
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and int(said[:20]) > limit:
        raise too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large(limit)
    except TimeoutError:
        detail = f"the body did not come within {BODY_SECONDS:g} s"
        raise HttpRefusal(408, "BODY_TIMEOUT", detail) from None
    return bytes(body)


async def read_json(request: Request, limit: int, *, optional: bool = False) -> Document:
    """The JSON document of a request; with `optional` no body at all is an empty object.

    Errors: `HttpRefusal` 400 for what is no strict JSON, 408, 413, 415.
    """
    if optional and "content-type" not in request.headers:
        if await read_bytes(request, limit):
            raise _wrong_type([JSON], "")
        return Document({})
    media_type_of(request, JSON)
    return await strict_json(await read_bytes(request, limit))


async def strict_json(body: bytes) -> Document:
    """The document in a body. Errors: `HttpRefusal` 400."""
    if len(body) <= _AT_ONCE_BYTES:
        return _strict_json(body)
    return await asyncio.to_thread(_strict_json, body)  # others are answered meanwhile


def _strict_json(body: bytes) -> Document:
    try:
        return parse_json(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _unreadable([Problem((), "not UTF-8 text")]) from error
    except InvalidInput as error:
        raise _unreadable(list(error.problems)) from error


def media_type_of(request: Request, *taken: str) -> str:
    """The media type of the body, one of those `taken`. Errors: `HttpRefusal` 415."""
    said = request.headers.get("content-type", "")
    if len(said) > _LONGEST_TYPE:  # splitting it would take longer than all the rest
        raise _wrong_type(taken, said)
    header = Message()
    header["content-type"] = said
    charset = header.get_param("charset", "utf-8")
    found = header.get_content_type() if said else ""
    if found not in taken:
        raise _wrong_type(taken, said)
    if str(charset).lower() not in ("utf-8", "utf8", "us-ascii"):
        detail = f"the charset of the body must be UTF-8, and this is {str(charset)[:40]!r}"
        raise HttpRefusal(415, "UNSUPPORTED_MEDIA_TYPE", detail)
    return found


def as_model(model: type[AnyModel], data: Any, at: Path = ()) -> AnyModel:
    """What stands in a document `at` a path, as a model. Errors: `InvalidInput`, all of it."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidInput(problems_of(error, at)) from error


def too_large(limit: int) -> HttpRefusal:
    """413, with the limit."""
    return HttpRefusal(413, "BODY_TOO_LARGE", f"the body is larger than {limit:,} bytes")


def _wrong_type(taken: Any, said: str) -> HttpRefusal:
    this = f"this is {said[:80]!r}" if said else "there is none"
    detail = f"the Content-Type must be {' or '.join(taken)}, and {this}"
    return HttpRefusal(415, "UNSUPPORTED_MEDIA_TYPE", detail, {"Accept": ", ".join(taken)})


def _unreadable(problems: list[Problem]) -> HttpRefusal:
    detail = "the body is not JSON that can be taken: `errors` says why"
    return HttpRefusal(400, "UNREADABLE_BODY", detail, errors=problems)
