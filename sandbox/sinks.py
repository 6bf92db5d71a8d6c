"""Sinks for events: `POST /events/{name}` takes CloudEvents 1.0 in their JSON formats.

One event comes as `application/cloudevents+json`, a list as `application/cloudevents-batch+json`;
the answer is 204. With a secret, requests have to be signed (`sandbox.signatures`), else they are
refused with 401 and count for nothing. An event is known by its source and id: one that comes
again is a repeat.

The script is that of `sandbox.scripted`, for a `webhook-id`; without one, for the source and id of
the first event.
"""

import re
import time
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import from_json
from starlette.types import Scope

from pluginkit.problems import Problem, field_errors
from pluginkit.requests import PLUGIN_ID
from sandbox.endpoint import Endpoint, Sleepers, now
from sandbox.events import Event, EventsLine
from sandbox.journal import Journal
from sandbox.ledger import Ledger
from sandbox.scripted import DONE, ServiceKnobs, fail
from sandbox.signatures import ID, check, key_of
from sandbox.wire import Exchange

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

_ATTRIBUTE = re.compile(r"[a-z0-9]+|data_base64")
_Text = Annotated[str, StringConstraints(min_length=1)]


class SinkKnobs(ServiceKnobs):
    """How a sink behaves; `secret` is `whsec_<base64>`, None takes what is not signed too."""

    secret: str | None = None

    @field_validator("secret")
    @classmethod
    def _secret_is_one(cls, secret: str | None) -> str | None:
        if secret is not None:
            key_of(secret)
        return secret


class CloudEvent(BaseModel):
    """What every event has; further attributes are let through if their names are names."""

    model_config = ConfigDict(extra="allow", strict=True)

    specversion: Literal["1.0"]
    id: _Text
    source: _Text
    type: _Text
    time: AwareDatetime | None = None

    @model_validator(mode="after")
    def _attributes_are_some(self) -> Self:
        names = (self.model_extra or {}).keys()
        for name in names:
            if not _ATTRIBUTE.fullmatch(name):
                raise ValueError(f"{name!r} is no attribute: use lower-case letters and digits")
        if {"data", "data_base64"} <= names:
            raise ValueError("an event has data or data_base64, not both")
        return self


_BATCH = TypeAdapter(list[CloudEvent])
_DEFAULT = SinkKnobs()


class EventSinks(Endpoint):
    """All sinks of the sandbox: their knobs, what came, and where it is written."""

    def __init__(self, journal: Journal, sleepers: Sleepers, ledger: Ledger) -> None:
        super().__init__(journal, sleepers)
        self.knobs: dict[str, SinkKnobs] = {}
        self.ledger = ledger

    async def serve(self, scope: Scope, body: bytes, exchange: Exchange) -> None:
        """One request, from its arrival to its answer."""
        name = scope["path_params"]["name"]
        if not PLUGIN_ID.fullmatch(name):
            raise Problem(404, "NO_SUCH_SINK", f"the name is not {PLUGIN_ID.pattern}")
        knobs = self.knobs.get(name, _DEFAULT)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if knobs.secret is not None:
            check([key_of(knobs.secret)], headers, body, time.time())
        events = _read(headers, body)
        message = headers.get(ID.encode(), b"").decode("latin-1") or _first(events)
        if not await self._sleep(knobs.latency):
            await exchange.close()
            return
        sink = self.ledger.sink(name)
        word = knobs.word(sink.asked[message])
        line: EventsLine = {
            "event": "events",
            "sink": name,
            "message": message,
            "events": events,
            "taken": word in DONE,
            "outcome": word,
            "at": now(),
        }
        # Known before the log is synced: what comes again meanwhile is a repeat.
        sink.record(line)
        await self._commit(line)
        if word == "ok":
            await exchange.answer_nothing()
        else:
            await fail(word, exchange, b'{"status": "taken"}')


def _read(headers: dict[bytes, bytes], body: bytes) -> list[Event]:
    """The events of a request. Raises Problem 415 or 400."""
    media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0]
    kind = media_type.strip().lower()
    if kind not in {STRUCTURED, BATCH}:
        raise Problem(415, "NO_CLOUD_EVENT", f"the content type is not {STRUCTURED} or {BATCH}")
    try:
        document = from_json(body, allow_inf_nan=False)
        if kind == BATCH:
            _BATCH.validate_json(body)
        else:
            CloudEvent.model_validate_json(body)
    except ValueError as error:
        errors = field_errors(error.errors()) if isinstance(error, ValidationError) else []
        raise Problem(400, "INVALID_EVENT", "the body is not valid", errors) from error
    events: list[Event] = document if kind == BATCH else [document]
    return events


def _first(events: list[Event]) -> str:
    return f"{events[0]['source']} {events[0]['id']}" if events else ""
