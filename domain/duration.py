"""Durations as people write them: `30s`, `15m`, `1h30m`, `7d`."""

import re
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from domain.problems import shown

_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_WHOLE = re.compile(r"(?:\d+(?:ms|[dhms]))+", re.ASCII)
_PIECE = re.compile(r"(\d+)(ms|[dhms])", re.ASCII)
_LONGEST = timedelta(days=3660)
_MOST_CHARACTERS = 40
_HINT = "write a duration with a unit, such as 30s, 15m, 1h30m or 7d"
_MOST_KNOWN = 4096
"""Durations that are kept: every run reads nine, and most are those of the run before."""


@lru_cache(_MOST_KNOWN)
def parse_duration(text: str) -> timedelta:
    """The length of `text`; each unit of d, h, m, s, ms at most once, largest first.

    Errors: `ValueError` with what to write instead.
    """
    text = text.strip()
    if len(text) > _MOST_CHARACTERS or not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:_MOST_CHARACTERS]!r} is not a duration: {_HINT}")
    pieces = _PIECE.findall(text)
    order = [list(_UNITS).index(unit) for _, unit in pieces]
    if order != sorted(set(order)):
        raise ValueError(f"{text!r} repeats or disorders its units: {_HINT}")
    milliseconds = sum(int(count) * _UNITS[unit] for count, unit in pieces)
    if milliseconds > _LONGEST / timedelta(milliseconds=1):
        raise ValueError(f"{text!r} is longer than ten years")
    return timedelta(milliseconds=milliseconds)


@lru_cache(_MOST_KNOWN)
def format_duration(length: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `length` (to the millisecond)."""
    rest = round(length / timedelta(milliseconds=1))
    pieces = []
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            pieces.append(f"{count}{unit}")
    return "".join(pieces) or "0s"


def _read(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError(f"{shown(value)} is not a duration: {_HINT}")


Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["30s", "15m", "1h30m"]}),
]
"""A `timedelta` that reads text with units, and is written so in JSON."""
