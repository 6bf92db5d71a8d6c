"""The capacity route: `POST /ops/capacity/reserve`, reserving and releasing by limits or script.

The body is `{reservation_id, action: "reserve", tenant_id, task_id, resources, start, duration}`,
or the first four with the action `release`. The answer is `{granted, reason, retry_after}`.

A *script* is a list of words: the first is for the first request of a reservation id and action,
the second for the second, and the last one repeats.

| word | what the caller sees | done |
|---|---|---|
| `ok` | 200, granted as far as the limits reach; every release is granted | yes |
| `deny`, `deny:5` | 200, not granted, `retry_after` 5; what is held or released is granted | no |
| `503`, `503:2` | that status (300 to 599) as problem+json, `Retry-After: 2` | no |
| `hang` | nothing, until the caller leaves | no |
| `drop` | the connection closes in order, without an answer | as `ok` |
| `garbage` | 200 `application/json` with a body that is not JSON | no |
| `nan`, `negative` | 200, granted, with a `retry_after` that makes no sense | no |
| `error` | 200 with an error in place of the answer | no |
| `truncate` | 200 and half of a body that grants, then the connection closes | no |
"""

import json
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from starlette.types import Scope

from sandbox.delivery import Name, read_headers
from sandbox.endpoint import Endpoint, Sleepers, now
from sandbox.journal import Journal
from sandbox.knobs import MAX_SECONDS, Word, seconds_of, status_of
from sandbox.ledger import Ledger
from sandbox.problems import Problem, field_errors
from sandbox.reservations import Action, CapacityLine
from sandbox.wire import Exchange

_BARE = frozenset({"ok", "deny", "hang", "drop", "garbage", "nan", "negative", "error", "truncate"})
_Amount = Annotated[StrictInt, Field(ge=0)]


class CapacityKnobs(BaseModel):
    """How the service behaves; what is not set grants everything at once.

    `limits` by resource: one without a limit has no end. `latency`: seconds between the arrival
    of a request and what becomes of it. `script`: see the module.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    limits: dict[Name, _Amount] = Field(default_factory=dict)
    script: tuple[Word, ...] = Field(default=("ok",), min_length=1, max_length=1000)
    latency: float = Field(default=0.0, ge=0.0, le=MAX_SECONDS, allow_inf_nan=False)

    @field_validator("script")
    @classmethod
    def _script_is_known(cls, script: tuple[str, ...]) -> tuple[str, ...]:
        for word in script:
            if word.startswith("deny:"):
                seconds_of(word)
            elif word not in _BARE and status_of(word) is None:
                known = ", ".join(sorted(_BARE))
                raise ValueError(
                    f"{word!r} is no answer: use {known}, deny:SECONDS or a status from 300 to 599"
                    " such as 503 or 503:2"
                )
        return script


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
        word = self._word(request.reservation_id, request.action)
        granted, reason = self._decide(request, word)
        line = self._line(request, word, granted)
        # Known before the log is synced: a request that comes meanwhile must count it already.
        self.ledger.reservations.record(line)
        await self._commit(line)
        if word == "drop":
            await exchange.close()
        elif granted is not None:
            wait = seconds_of(word) if not granted and word.startswith("deny:") else None
            await exchange.answer(200, _answer(granted=granted, reason=reason, retry_after=wait))
        else:
            await _fail(word, exchange)

    def _word(self, reservation_id: str, action: Action) -> str:
        asked = self.ledger.reservations.asked[reservation_id, action]
        script = self.knobs.script
        return script[min(asked, len(script) - 1)]

    def _decide(self, request: Reserve | Release, word: str) -> tuple[bool | None, str | None]:
        """Granted and why not; None when the script lets the request fail."""
        kind = word.partition(":")[0]
        if kind not in {"ok", "drop", "deny"}:
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
    """The words that decide nothing."""
    match word:
        case "hang":
            await exchange.until_gone()
        case "garbage":
            await exchange.garble()
        case "nan":
            await exchange.answer(200, _answer(granted=True, retry_after=float("nan")))
        case "negative":
            await exchange.answer(200, _answer(granted=True, retry_after=-5.0))
        case "error":
            await exchange.answer(200, b'{"error": {"code": "INTERNAL", "message": "as scripted"}}')
        case "truncate":
            await exchange.truncate(_answer(granted=True))
        case _:
            scripted = status_of(word)
            assert scripted is not None  # noqa: S101 - the knobs let no other word through
            await exchange.refuse_as_told(*scripted)
