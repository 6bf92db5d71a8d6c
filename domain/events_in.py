"""Events that come in: CloudEvents 1.0 in their JSON formats and as HTTP headers with a body.

What is accepted is what is told on: `CloudEvent.as_json` is the structured form, and reading it
gives an equal event. Times are told in UTC, to the microsecond.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from pydantic import JsonValue

from domain import event_attributes as attribute
from domain.document import json_problems, parse_json
from domain.event_attributes import Extension
from domain.problems import InvalidInput, Path, Problem, shown

MAX_EVENT_BYTES = 64 * 1024
MAX_BATCH = 100
MAX_TYPE = 256
"""As long as the type of an event trigger may be."""

_NAMES = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")
_PREFIX = "ce-"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event. `data_base64` is data that is neither JSON nor text; then `data` is None."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: JsonValue = None
    data_base64: str | None = None
    extensions: Mapping[str, Extension] = field(default_factory=dict)

    def as_json(self) -> dict[str, JsonValue]:
        """The structured form: what is told to the plugin, and what `parse_structured` reads."""
        told: dict[str, JsonValue] = {"specversion": "1.0"}
        for name in _NAMES:
            value = getattr(self, name)
            if value is not None:
                told[name] = _written(value) if isinstance(value, datetime) else value
        told.update(self.extensions)
        if self.data_base64 is not None:
            told["data_base64"] = self.data_base64
        elif self.data is not None:
            told["data"] = self.data
        return told


def parse_structured(data: Any, at: Path = ()) -> CloudEvent:
    """An event from its JSON object.

    Errors: `InvalidInput` with every problem, its path below `at`.
    """
    if not isinstance(data, dict):
        raise InvalidInput([Problem(at, f"an event is a JSON object, and this is {shown(data)}")])
    problems = [Problem((*at, *p.path), p.message) for p in json_problems(data)]
    if problems:
        raise InvalidInput(problems)
    said = {name: value for name, value in data.items() if value is not None}
    reader = _Reader(at)
    if "data" in said and "data_base64" in said:
        reader.problem("data_base64", "stands beside `data`: an event has one of the two")
    content, encoded = said.pop("data", None), said.pop("data_base64", None)
    return reader.checked(reader.event(said, content, encoded))


def parse_binary(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """An event whose attributes are `ce-` headers and whose data is the body.

    Errors: `InvalidInput` with every problem; the path of a header is its name.
    """
    reader = _Reader((), prefix=_PREFIX)
    said: dict[str, Any] = {}
    content_type = None
    for header, value in headers.items():
        name = header.lower()
        if name == "content-type":
            content_type = value.strip() or None
        elif name.startswith(_PREFIX):
            name = name.removeprefix(_PREFIX)
            said[name] = reader.read(name, attribute.header_of, value)
    for name, instead in (("datacontenttype", "Content-Type"), ("data", "the body")):
        if said.pop(name, None) is not None:
            place = Problem((f"{_PREFIX}{name}",), f"is not a header of events: use {instead}")
            reader.problems.append(place)
    if content_type:
        said["datacontenttype"] = content_type
    data, encoded = reader.body(content_type, body)
    return reader.checked(reader.event(said, data, encoded))


def parse_batch(data: Any) -> list[CloudEvent]:
    """Events from a JSON array, in its order. Errors: `InvalidInput`, of all events together."""
    if not isinstance(data, list):
        raise InvalidInput([Problem((), f"a batch is a JSON array, and this is {shown(data)}")])
    if len(data) > MAX_BATCH:
        raise InvalidInput([Problem((), f"{len(data)} events: a batch holds {MAX_BATCH} at most")])
    events: list[CloudEvent] = []
    problems: list[Problem] = []
    for index, item in enumerate(data):
        try:
            events.append(parse_structured(item, (index,)))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(problems)
    return events


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


class _Reader:
    """Reads one event and collects what is wrong with it."""

    def __init__(self, at: Path, prefix: str = "") -> None:
        self.problems: list[Problem] = []
        self._at = at
        self._prefix = prefix

    def problem(self, name: str, message: str) -> None:
        """One more, of an attribute or of the data."""
        if self._prefix and name != "data":
            name = "content-type" if name == "datacontenttype" else f"{self._prefix}{name}"
        self.problems.append(Problem((*self._at, name), message))

    def read(self, name: str, reader: Callable[[Any], _T], value: Any) -> _T | None:
        """A value, None when there is none or something is wrong with it."""
        if value is None:
            return None
        try:
            return reader(value)
        except ValueError as error:
            self.problem(name, str(error))
            return None

    def event(self, said: dict[str, Any], data: Any, encoded: Any) -> CloudEvent:
        """The event of these attributes."""
        self._version(said.pop("specversion", None))
        for name in ("id", "source", "type"):
            if name not in said:
                self.problem(name, "is required")
        media_type = self.read(
            "datacontenttype", attribute.media_type_of, said.pop("datacontenttype", None)
        )
        if not attribute.is_json(media_type) and data is not None and not isinstance(data, str):
            message = f"must be text, because datacontenttype is {shown(media_type)}"
            self.problem("data", message)
        absolute = partial(attribute.uri_of, absolute=True)
        return CloudEvent(
            id=self.read("id", attribute.text_of, said.pop("id", None)) or "",
            source=self.read("source", attribute.uri_of, said.pop("source", None)) or "",
            type=self.read("type", _type_of, said.pop("type", None)) or "",
            subject=self.read("subject", attribute.text_of, said.pop("subject", None)),
            time=self.read("time", attribute.time_of, said.pop("time", None)),
            datacontenttype=media_type,
            dataschema=self.read("dataschema", absolute, said.pop("dataschema", None)),
            data=data,
            data_base64=self.read("data_base64", attribute.base64_of, encoded),
            extensions={
                name: read
                for name, value in said.items()
                if (read := self.read(name, partial(attribute.extension_of, name), value))
                is not None
            },
        )

    def checked(self, event: CloudEvent) -> CloudEvent:
        """The event, when nothing is wrong with it."""
        if not self.problems:
            text = json.dumps(event.as_json(), ensure_ascii=False, separators=(",", ":"))
            if (size := len(text.encode())) > MAX_EVENT_BYTES:
                message = f"{size} bytes as JSON: the limit of an event is {MAX_EVENT_BYTES}"
                self.problems.append(Problem(self._at, message))
        if self.problems:
            raise InvalidInput(self.problems)
        return event

    def body(self, content_type: str | None, body: bytes) -> tuple[JsonValue, str | None]:
        """Data and base64 of a body, by its content type."""
        if not body:
            return None, None
        if content_type and attribute.is_json(content_type):
            return self._json(body), None
        if content_type and attribute.is_text(content_type):
            return self._text(attribute.charset_of(content_type), body), None
        return None, base64.b64encode(body).decode()

    def _json(self, body: bytes) -> JsonValue:
        try:
            data: JsonValue = parse_json(body).data
        except InvalidInput as error:
            self.problems += [Problem(("data", *p.path), p.message, p.line) for p in error.problems]
            return None
        return data

    def _text(self, charset: str, body: bytes) -> JsonValue:
        try:
            text = attribute.decoded(body, charset)
        except (LookupError, ValueError):
            self.problem("data", f"is not readable as {charset[:40]} text")
            return None
        self.problems += [Problem(("data",), p.message) for p in json_problems(text)]
        return text

    def _version(self, version: Any) -> None:
        if version is None:
            self.problem("specversion", "is required")
        elif version != "1.0":
            self.problem("specversion", f"must be '1.0', and this is {shown(version)}")


def _type_of(value: Any) -> str:
    text = attribute.text_of(value)
    if len(text) > MAX_TYPE:
        raise ValueError(f"is longer than {MAX_TYPE} characters")
    return text
