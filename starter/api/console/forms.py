"""Forms of the console: read like every other body, measured and strictly."""

from unicodedata import category
from urllib.parse import parse_qsl

from fastapi import Request

from domain.problems import InvalidInput, Problem
from starter.api.bodies import SMALL_BYTES, media_type_of, read_bytes
from starter.api.problems import HttpRefusal

FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20
_LINES = "\n\t"


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; lines end as they do elsewhere.

    Errors: `HttpRefusal` 400, 408, 413, 415; `InvalidInput` for what is no text.
    """
    media_type_of(request, FORM)
    body = await read_bytes(request, SMALL_BYTES)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:
        raise HttpRefusal(400, "UNREADABLE_BODY", "the body is no form that can be read") from error
    form = {name: value.replace("\r\n", "\n") for name, value in pairs}
    if problems := [
        Problem((name[:40],), "holds control characters")
        for name, value in form.items()
        if any(category(character) == "Cc" and character not in _LINES for character in value)
    ]:
        raise InvalidInput(problems)
    return form
