"""What the services that walk a script share: its words, the knobs, and how an answer fails.

A *script* is a list of words: the first is for the first request of an id, the second for the
second, and the last one repeats. What the id is, and which words come beside, each service says.

| word | what the caller sees | done |
|---|---|---|
| `ok` | the answer | yes |
| `503`, `429:2` | that status (300 to 599) as problem+json, `Retry-After: 2` | no |
| `hang` | nothing, until the caller leaves | no |
| `drop` | the connection closes in order, without an answer | as `ok` |
| `reset` | the connection is reset (TCP RST), without an answer | no |
| `garbage` | 200 `application/json` with a body that is not JSON | no |
| `truncate` | 200 and half of a body, then the connection closes | no |
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.knobs import MAX_SECONDS, Word, status_of
from sandbox.wire import Exchange

DONE = frozenset({"ok", "drop"})  # what was asked for happens, whatever the caller sees

_WORDS = DONE | {"hang", "reset", "garbage", "truncate"}


class ServiceKnobs(BaseModel):
    """How a service behaves; what is not set does at once what it is asked for.

    `latency`: seconds between the arrival of a request and what becomes of it. `script`: see the
    module.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    own_words: ClassVar[frozenset[str]] = frozenset()

    script: tuple[Word, ...] = Field(default=("ok",), min_length=1, max_length=1000)
    latency: float = Field(default=0.0, ge=0.0, le=MAX_SECONDS, allow_inf_nan=False)

    @classmethod
    def knows(cls, word: str) -> bool:
        """Whether it is a word of this service; ValueError when it nearly is."""
        return word in _WORDS | cls.own_words or status_of(word) is not None

    @field_validator("script")
    @classmethod
    def _script_is_known(cls, script: tuple[str, ...]) -> tuple[str, ...]:
        for word in script:
            if not cls.knows(word):
                known = ", ".join(sorted(_WORDS | cls.own_words))
                raise ValueError(
                    f"{word!r} is no answer: use {known} or a status from 300 to 599"
                    " such as 503 or 429:2"
                )
        return script

    def word(self, asked: int) -> str:
        """The word for a request of an id that asked so often before."""
        return self.script[min(asked, len(self.script) - 1)]


async def fail(word: str, exchange: Exchange, body: bytes) -> None:
    """Every word but `ok`; half of `body` is what `truncate` sends."""
    match word:
        case "hang":
            await exchange.until_gone()
        case "drop":
            await exchange.close()
        case "reset":
            await exchange.reset()
        case "garbage":
            await exchange.garble()
        case "truncate":
            await exchange.truncate(body)
        case _:
            scripted = status_of(word)
            assert scripted is not None  # noqa: S101 - the knobs let no other word through
            await exchange.refuse_as_told(*scripted)
