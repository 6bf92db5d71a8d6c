"""A message as the event that it carries: the NATS protocol binding of CloudEvents.

The binding has a structured and a binary mode and no batch. It tells the two apart by the content
type alone; older senders, which know the structured mode only, name none.
"""

from collections.abc import Mapping

from domain.document import parse_json
from domain.events_in import MAX_EVENT_BYTES, CloudEvent, parse_binary, parse_structured
from domain.problems import InvalidInput, Problem, shown

_ANY_FORMAT = "application/cloudevents"
_JSON_FORMATS = (_ANY_FORMAT, f"{_ANY_FORMAT}+json")
_BATCH = f"{_ANY_FORMAT}-batch"
_DATA_TYPE = "ce-datacontenttype"


def read_event(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """The one event of a message. Errors: `InvalidInput` with every problem."""
    if len(body) > MAX_EVENT_BYTES:
        raise _invalid(f"{len(body)} bytes: the limit of an event is {MAX_EVENT_BYTES}")
    said = _by_lower_name(headers)
    content_type = said.get("content-type", "").partition(";")[0].strip().lower()
    if content_type.startswith(_BATCH):
        raise _no_batch()
    if content_type in _JSON_FORMATS:
        return _structured(body)
    if content_type.startswith(_ANY_FORMAT):
        message = f"{shown(content_type)}: of the formats of events only JSON is read"
        raise InvalidInput([Problem(("content-type",), message)])
    if any(name.startswith("ce-") for name in said):
        # An attribute like any other here, where HTTP has the header Content-Type.
        if _DATA_TYPE in said:
            said["content-type"] = said.pop(_DATA_TYPE)
        return parse_binary(said, body)
    return _structured(body)


def _structured(body: bytes) -> CloudEvent:
    data = parse_json(body).data
    if isinstance(data, list):
        raise _no_batch()
    return parse_structured(data)


def _by_lower_name(headers: Mapping[str, str]) -> dict[str, str]:
    """Names of headers mean the same in either case, and a client gives them as they were sent."""
    said: dict[str, str] = {}
    for name, value in headers.items():
        if name.lower() in said:
            raise InvalidInput([Problem((name.lower(),), "the header stands twice")])
        said[name.lower()] = value
    return said


def _no_batch() -> InvalidInput:
    return _invalid("a batch: over NATS each event is a message of its own")


def _invalid(message: str) -> InvalidInput:
    return InvalidInput([Problem((), message)])
