"""The capacity route: `POST /ops/capacity/reserve`, reserving and releasing by limits or script.

The body is `{reservation_id, action: "reserve", tenant_id, task_id, resources, start, duration}`,
or the first four with the action `release`. The answer is `{granted, reason, retry_after}`.

The script is that of `sandbox.scripted`, for a reservation id and action. After `ok` a reservation
is granted as far as the limits reach, and a release always. Words of its own:

| word | what the caller sees | done |
|---|---|---|
| `deny`, `deny:5` | 200, not granted, `retry_after` 5; what is held or released is granted | no |
| `nan`, `negative` | 200, granted, with a `retry_after` that makes no sense | no |
| `error` | 200 with an error in place of the answer | no |
"""

import json
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    Field,
    StrictInt,
    TypeAdapter,
    ValidationError,
)
from starlette.types import Scope

from pluginkit.problems import Problem, field_errors
from pluginkit.requests import Name
from sandbox.delivery import read_headers
from sandbox.endpoint import Endpoint, Sleepers, now
from sandbox.journal import Journal
from sandbox.knobs import seconds_of
from sandbox.ledger import Ledger
from sandbox.reservations import CapacityLine
from sandbox.scripted import DONE, ServiceKnobs, fail
from sandbox.wire import Exchange

_Amount = Annotated[StrictInt, Field(ge=0)]


class CapacityKnobs(ServiceKnobs):
    """How the service behaves; `limits` by resource: one without a limit has no end."""

    own_words = frozenset({"deny", "deny:SECONDS", "nan", "negative", "error"})

    limits: dict[Name, _Amount] = Field(default_factory=dict)

    @classmethod
    def knows(cls, word: str) -> bool:
        """Whether it is a word of this service; ValueError when it nearly is."""
        if word.startswith("deny:"):
            seconds_of(word)
            return True
        return super().knows(word)


class Release(BaseModel):
    """The body of a release. Fields that are not known are let through."""

    action: Literal["release"]
    reservation_id: Name
    tenant_id: Name
    task_id: Name


class Reserve(BaseModel):
    """The body of a reservation; `duration` in seconds."""

    action: Literal["reserve"]
    reservation_id: Name
    tenant_id: Name
    task_id: Name
    resources: dict[Name, _Amount]
    start: AwareDatetime
    duration: float = Field(ge=0, allow_inf_nan=False, strict=True)


_REQUEST: TypeAdapter[Reserve | Release] = TypeAdapter(
    Annotated[Reserve | Release, Field(discriminator="action")]
)


class CapacityService(Endpoint):
    """The capacity service of the sandbox: its knobs, what it holds, and where it is written."""

    def __init__(self, journal: Journal, sleepers: Sleepers, ledger: Ledger) -> None:
        super().__init__(journal, sleepers)
        self.knobs = CapacityKnobs()
        self.ledger = ledger

    async def serve(self, scope: Scope, body: bytes, exchange: Exchange) -> None:
        """One request, from its arrival to its answer."""
        read_headers(scope)
        try:
            request = _REQUEST.validate_json(body)
        except ValidationError as error:
            errors = field_errors(error.errors())
            raise Problem(400, "INVALID_RESERVATION", "the body is not valid", errors) from error
        if not await self._sleep(self.knobs.latency):
            await exchange.close()
            return
        asked = self.ledger.reservations.asked[request.reservation_id, request.action]
        word = self.knobs.word(asked)
        granted, reason = self._decide(request, word)
        line = self._line(request, word, granted)
        # Known before the log is synced: a request that comes meanwhile must count it already.
        self.ledger.reservations.record(line)
        await self._commit(line)
        if granted is not None and word != "drop":
            wait = seconds_of(word) if not granted and word.startswith("deny:") else None
            await exchange.answer(200, _answer(granted=granted, reason=reason, retry_after=wait))
        else:
            await _fail(word, exchange)

    def _decide(self, request: Reserve | Release, word: str) -> tuple[bool | None, str | None]:
        """Granted and why not; None when the script lets the request fail."""
        kind = word.partition(":")[0]
        if kind not in DONE | {"deny"}:
            return None, None
        reservations = self.ledger.reservations
        if isinstance(request, Release) or request.reservation_id in reservations.held:
            return True, None
        if kind == "deny":
            return False, "the sandbox was told to deny it"
        lacking = reservations.lacking(request.resources, self.knobs.limits)
        return lacking is None, lacking

    def _line(self, request: Reserve | Release, word: str, granted: bool | None) -> CapacityLine:
        held = self.ledger.reservations.held.get(request.reservation_id)
        if isinstance(request, Reserve):
            resources = request.resources
        else:
            resources = held["resources"] if held else {}
        return {
            "event": "capacity",
            "action": request.action,
            "reservation_id": request.reservation_id,
            "tenant_id": request.tenant_id,
            "task_id": request.task_id,
            "resources": resources,
            "granted": granted,
            "outcome": word,
            "at": now(),
        }


def _answer(*, granted: bool, reason: str | None = None, retry_after: float | None = None) -> bytes:
    document = {"granted": granted, "reason": reason, "retry_after": retry_after}
    return json.dumps(document).encode()


async def _fail(word: str, exchange: Exchange) -> None:
    """The words that decide nothing, and those whose answer gets lost."""
    match word:
        case "nan":
            await exchange.answer(200, _answer(granted=True, retry_after=float("nan")))
        case "negative":
            await exchange.answer(200, _answer(granted=True, retry_after=-5.0))
        case "error":
            await exchange.answer(200, b'{"error": {"code": "INTERNAL", "message": "as scripted"}}')
        case _:
            await fail(word, exchange, _answer(granted=True))
