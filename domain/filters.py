"""Filters of event triggers: CEL over an event, compiled once and evaluated for each event.

The library is Google's own implementation of CEL. It is imported when the first filter is compiled:
most processes compile none. Evaluation keeps the interpreter's lock, so a thread gains nothing, and
a compiled filter may be used by several threads. What a filter may cost is bounded when it is
compiled (`domain.filter_cost`), and for lists that are too long by the library itself.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from domain.events_in import CloudEvent
from domain.filter_cost import check_cost

MAX_FILTER = 4096
"""Characters of a filter."""

_CONTAINER = "event"  # `type` alone is a function of CEL: inside this it is the event's attribute
_PLACED = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNKNOWN_NAME = re.compile(r"undeclared reference to '([^']*)'")
_NO_KEY = re.compile(r"Key not found in map : (.*)")
_NO_VALUE = re.compile(rf'No value with name "{_CONTAINER}\.(\w+)"')
_NO_OVERLOAD = re.compile(r"No matching overloads found : (\S+)\((.*)\)")
_STATUS = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")
_VARIABLES = "id, source, type, subject, time, data and extensions"


class FilterFailed(Exception):  # noqa: N818 - reads as what happened
    """The filter has no answer for this event: it does not match. The text says why."""


class Seen:
    """An event as filters see it, converted once for all of them."""

    __slots__ = ("_activation", "_event")

    def __init__(self, event: CloudEvent) -> None:
        self._event = event
        self._activation: Any = None

    def activation(self) -> Any:
        """The event's attributes as the library takes them."""
        if self._activation is None:
            event = self._event
            values: dict[str, Any] = {
                "id": event.id,
                "source": event.source,
                "type": event.type,
                "subject": event.subject or "",
                "data": event.data,
                "extensions": dict(event.extensions),
            }
            if event.time:
                values["time"] = event.time
            named = {f"{_CONTAINER}.{name}": value for name, value in values.items()}
            self._activation = _environment().Activation(named)
        return self._activation


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter."""

    text: str
    _expression: Any

    def matches(self, event: CloudEvent | Seen) -> bool:
        """Whether the filter lets the event through.

        Errors: `FilterFailed` when it cannot be evaluated, or gives neither true nor false.
        """
        seen = event if isinstance(event, Seen) else Seen(event)
        try:
            answer = self._expression.eval(activation=seen.activation())
            value, kind = answer.value(), answer.type().name()
        except (RuntimeError, ValueError, TypeError) as error:
            raise FilterFailed(_failure(str(error))) from error
        if kind == "ERROR":
            raise FilterFailed(_failure(str(value)))
        if not isinstance(value, bool):
            raise FilterFailed(f"it gives {kind.lower()}, and a filter gives true or false")
        return value


def compile_filter(text: str) -> Filter:
    """A filter from its text. Errors: `ValueError` with a sentence about the first mistake."""
    if len(text) > MAX_FILTER:
        raise ValueError(f"{len(text)} characters: a filter has {MAX_FILTER} at most")
    try:
        expression = _environment().compile(text)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(_mistake(str(error))) from None
    kind = expression.return_type().name()
    if kind not in ("BOOL", "DYN"):
        raise ValueError(f"gives {kind.lower()}, and a filter gives true or false")
    for pattern in check_cost(expression.serialize()):
        _check_pattern(pattern)
    return Filter(text, expression)


def _check_pattern(pattern: str) -> None:
    """Errors: `ValueError` when it is no regular expression: no event needs to find that out."""
    try:
        _matching().matches(Seen(CloudEvent(id=pattern, source="", type="")))
    except FilterFailed as error:
        raise ValueError(f"the pattern {pattern[:60]!r} of `matches`: {error}") from None


@cache
def _matching() -> Filter:
    text = "''.matches(id)"
    return Filter(text, _environment().compile(text))


@cache
def _environment() -> Any:
    from cel_expr_python import cel  # type: ignore[import-untyped]  # noqa: PLC0415 - see above

    kind = cel.Type
    variables = {
        "id": kind.STRING,
        "source": kind.STRING,
        "type": kind.STRING,
        "subject": kind.STRING,
        "time": kind.TIMESTAMP,
        "data": kind.DYN,
        "extensions": kind.Map(kind.STRING, kind.DYN),
    }
    return cel.NewEnv(
        container=_CONTAINER,
        variables={f"{_CONTAINER}.{name}": kind for name, kind in variables.items()},
    )


def _mistake(text: str) -> str:
    """The library's first complaint in our words, with its place."""
    if "recursion" in text:
        return "not valid CEL: nested deeper than 32 levels"
    found = _PLACED.search(text)
    if not found:
        return f"not valid CEL: {_plain(text)}"
    line, column, message = found.groups()
    place = f"column {column}" if line == "1" else f"line {line}, column {column}"
    if name := _UNKNOWN_NAME.search(message):
        message = f"{name[1]!r} is not known: an event has {_VARIABLES}"
    return f"not valid CEL, {place}: {message}"


def _failure(text: str) -> str:
    """Why the library could not evaluate a filter, in our words."""
    if found := _NO_KEY.search(text):
        return f"the event has no {found[1]}"
    if found := _NO_VALUE.search(text):
        return f"the event has no {found[1]}"
    if "Applying SELECT" in text:
        return "the event has a value without fields where the filter asks for a field"
    if "Iteration budget" in text:
        return "the event's lists are too long: a filter looks at 10000 items at most"
    if found := _NO_OVERLOAD.search(text):
        return f"{found[1].strip('_')!r} does not go with ({found[2]})"
    return _plain(text)


def _plain(text: str) -> str:
    return _STATUS.sub("", text.splitlines()[0])[:200]
