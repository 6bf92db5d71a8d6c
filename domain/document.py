"""Reading YAML and JSON text into plain values, remembering the line of everything."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from domain.problems import InvalidInput, Path, Problem

MAX_DEPTH = 32


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is


class _Loader(_Base):  # type: ignore[misc]  # which of the two bases depends on the machine
    """YAML with JSON's types only: times stay text, and 12:30 is text, not 750."""


_YAML = "tag:yaml.org,2002:"
_TEXT_TO_JSON = {f"{_YAML}{kind}" for kind in ("timestamp", "int", "float", "merge", "value")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag not in _TEXT_TO_JSON]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9]\d*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|nan|Inf|NaN|INF|NAN))$"
    ),
    list("-+0123456789."),
)


_BOOLEANS = dict.fromkeys(("true", "yes", "on"), True) | dict.fromkeys(
    ("false", "no", "off"), False
)
_SCALARS: dict[str, Callable[[str], Any]] = {
    f"{_YAML}int": int,
    f"{_YAML}float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    f"{_YAML}bool": lambda text: _BOOLEANS[text.lower()],
    f"{_YAML}null": dict.fromkeys(("", "~", "null", "Null", "NULL")).__getitem__,
    f"{_YAML}str": str,
    "!": str,
}
_COLLECTION_TAGS = (None, "!", f"{_YAML}map", f"{_YAML}seq")


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values and where each stands: `lines` maps a path to its line, from 1."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, path: Path) -> int | None:
        """The line of `path`, or of the nearest thing around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path)

    def placed(self, problems: list[Problem]) -> list[Problem]:
        """The same problems with their lines."""
        return [Problem(p.path, p.message, p.line or self.line_of(p.path)) for p in problems]


def parse_yaml(text: str) -> Document:
    """Read one YAML document (JSON included).

    Errors: `InvalidInput` for bad syntax, repeated keys, more than 32 levels, control characters
    and numbers that JSON does not know.
    """
    try:
        loader = _Loader(text)
    except (UnicodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput([Problem((), f"not readable as UTF-8 text: {reason}")]) from error
    reader = _Reader(loader)
    try:
        data = reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not valid YAML: {error.problem or error.context}"
        raise InvalidInput([Problem((), message, mark.line + 1 if mark else None)]) from error
    except yaml.YAMLError as error:
        raise InvalidInput(
            [Problem((), f"not valid YAML: {str(error).splitlines()[0]}")]
        ) from error
    finally:
        loader.dispose()
    document = Document(data, reader.lines)
    problems = document.placed([*reader.problems, *json_problems(data)])
    if problems:
        raise InvalidInput(problems)
    return document


class _Reader:
    """Turns YAML events into plain values, with the line of each and every problem met.

    Events and not nodes: composing nodes first recurses in C, and deep nesting ends the process.
    """

    def __init__(self, loader: Any) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._loader = loader

    def document(self) -> Any:
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise InvalidInput([Problem((), "the document is empty")])
        data = self._value(self._next(), ())
        self._next()  # the document's end
        if not isinstance(event := self._next(), yaml.StreamEndEvent):
            line = event.start_mark.line + 1
            raise InvalidInput([Problem((), "more than one YAML document in the file", line)])
        return data

    def _next(self) -> Any:
        return self._loader.get_event()

    def _value(self, event: Any, path: Path) -> Any:
        line = event.start_mark.line + 1
        self.lines.setdefault(path, line)
        if len(path) + isinstance(event, yaml.CollectionStartEvent) > MAX_DEPTH:
            raise InvalidInput([Problem(path[:3], f"nested deeper than {MAX_DEPTH} levels", line)])
        if isinstance(event, yaml.CollectionStartEvent) and event.tag not in _COLLECTION_TAGS:
            self.problems.append(Problem(path, f"the YAML tag {event.tag} is not supported"))
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(item := self._next(), yaml.SequenceEndEvent):
                items.append(self._value(item, (*path, len(items))))
            return items
        if isinstance(event, yaml.AliasEvent):
            message = (
                "YAML aliases are not supported: put what tasks share into their tenant's defaults"
            )
            raise InvalidInput([Problem(path, message, line)])
        return self._scalar(event, path)

    def _mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(key_event := self._next(), yaml.MappingEndEvent):
            line = key_event.start_mark.line + 1
            if not isinstance(key_event, yaml.ScalarEvent):
                raise InvalidInput([Problem(path, "a key must be text", line)])
            key = key_event.value
            here = (*path, key)
            if key in found:
                message = f"the key stands twice, first on line {self.lines[here]}"
                self.problems.append(Problem(here, message, line))
            else:
                self.lines[here] = line
            found[key] = self._value(self._next(), here)
        return found

    def _scalar(self, event: Any, path: Path) -> Any:
        tag = event.tag or self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        read = _SCALARS.get(tag)
        if read is None:
            self.problems.append(Problem(path, f"the YAML tag {tag} is not supported"))
            return None
        try:
            return read(event.value)
        except (ValueError, KeyError):
            kind = tag.rpartition(":")[2]
            self.problems.append(Problem(path, f"{event.value[:40]!r} is no {kind} of YAML"))
            return None


def parse_json(text: str | bytes) -> Document:
    """Read one JSON document; errors as in `parse_yaml`, without lines but for bad syntax."""
    repeated: list[Problem] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                repeated.append(Problem((), f"the key {key[:64]!r} stands twice in one object"))
            found[key] = value
        return found

    try:
        data = json.loads(text, object_pairs_hook=mapping)
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg}, column {error.colno}"
        raise InvalidInput([Problem((), message, error.lineno)]) from error
    except UnicodeDecodeError as error:
        raise InvalidInput([Problem((), "not UTF-8 text")]) from error
    except RecursionError as error:
        raise InvalidInput([Problem((), f"nested deeper than {MAX_DEPTH} levels")]) from error
    except ValueError as error:
        raise InvalidInput([Problem((), "a number has too many digits")]) from error
    problems = [*repeated, *json_problems(data)]
    if problems:
        raise InvalidInput(problems)
    return Document(data)


def json_problems(value: Any, path: Path = ()) -> Iterator[Problem]:
    """What JSON for other systems must not hold: NaN, infinities, NUL, lone surrogates, depth."""
    if len(path) + isinstance(value, dict | list) > MAX_DEPTH:
        yield Problem(path[:3], f"nested deeper than {MAX_DEPTH} levels")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(path, f"{value} is not a JSON number")
    elif isinstance(value, str) and (reason := _bad_text(value)):
        yield Problem(path, reason)
    elif isinstance(value, dict):
        for key, item in value.items():
            if reason := _bad_text(key):
                yield Problem(path, f"a key: {reason}")
            else:  # a path is shown, so what cannot be shown is in none
                yield from json_problems(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from json_problems(item, (*path, index))


def _bad_text(text: str) -> str | None:
    if "\0" in text:
        return "text must not hold NUL"
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        return "text must not hold a lone surrogate"
    return None
