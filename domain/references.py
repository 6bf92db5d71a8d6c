"""References to secrets in params: `secret://name`, a whole text value at any depth."""

import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from domain.ids import NAME
from domain.problems import Path, Problem, shown
from domain.task import Params

SCHEME = "secret://"
_REFERENCE = re.compile(rf"{SCHEME}({NAME})")


def reference_to(name: str) -> str:
    """How params name a secret."""
    return f"{SCHEME}{name}"


def secrets_in(params: JsonValue) -> frozenset[str]:
    """The names of all secrets that these params refer to."""
    found = (_REFERENCE.fullmatch(text) for _, text in _mentions(params, ()))
    return frozenset(match[1] for match in found if match)


def reference_problems(params: JsonValue, at: Path) -> Iterator[Problem]:
    """What looks like a reference and is none: it would reach the plugin as it is written."""
    for path, text in _mentions(params, at):
        if _REFERENCE.fullmatch(text):
            continue
        if text.startswith(SCHEME):
            rule = "1 to 64 of a-z 0-9 . _ -, beginning with a letter or a digit"
            yield Problem(path, f"{shown(text)} names no secret: a name is {rule}")
        else:
            message = f"{shown(text)} holds a reference: {SCHEME}NAME must be the whole value"
            yield Problem(path, message)


def with_secrets(params: Params, values: Mapping[str, str]) -> Params:
    """The params with the values in place of the references. Errors: `KeyError`, for a name."""
    return {key: _with_secrets(value, values) for key, value in params.items()}


def _with_secrets(value: JsonValue, values: Mapping[str, str]) -> JsonValue:
    match value:
        case dict():
            return {key: _with_secrets(inner, values) for key, inner in value.items()}
        case list():
            return [_with_secrets(inner, values) for inner in value]
        case str() if found := _REFERENCE.fullmatch(value):
            return values[found[1]]
    return value


def _mentions(value: JsonValue, at: Path) -> Iterator[tuple[Path, str]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _mentions(inner, (*at, key))
        case list():
            for index, inner in enumerate(value):
                yield from _mentions(inner, (*at, index))
        case str() if SCHEME in value:
            yield at, value
