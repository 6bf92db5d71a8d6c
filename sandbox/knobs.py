"""How one plugin of the sandbox behaves.

A *script* is a list of outcomes: the first is for the first delivery of an idempotency key, the
second for the second, and the last one repeats.

| outcome | what the caller sees | effect |
|---|---|---|
| `ok` | 200, status SUCCESS | yes |
| `slow:SECONDS` | 200 at once, then one blank a second, the SUCCESS body at the end | yes |
| `accept` | 202: the plugin will report later | yes |
| `accept-later` | 202; the effect is told to `POST /control/effects` when the test makes it | no |
| `accept:SECONDS` | 202; signed reports to the scheduler, see `sandbox.accepted` | at the end |
| `fail:CODE` | 200, status FAILED, retryable | no |
| `reject:CODE` | 200, status FAILED, not retryable | no |
| `503`, `429:2` | that status (300 to 599) as problem+json, `Retry-After: 2` | no |
| `hang` | nothing, until the caller leaves | no |
| `drop` | the connection closes in order, without an answer | yes |
| `reset` | the connection is reset (TCP RST), without an answer | no |
| `truncate` | 200 and half of the promised JSON body, then the connection closes | no |
| `garbage` | 200 `application/json` with a body that is not JSON | no |
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self, cast

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
)

from pluginkit.requests import PLUGIN_ID

Kind = Literal[
    "ok",
    "slow",
    "accept",
    "accept-later",
    "accept-report",
    "fail",
    "reject",
    "status",
    "hang",
    "drop",
    "reset",
    "truncate",
    "garbage",
]

MAX_SECONDS = 3600.0

_BARE = frozenset({"ok", "accept", "accept-later", "hang", "drop", "reset", "truncate", "garbage"})
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_STATUS = re.compile(r"[345][0-9]{2}")
_SECONDS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One word of a script, parsed.

    `code` is the error code of `fail` and `reject`; `status` the HTTP status of `status`;
    `seconds` the length of `slow` and `accept-report`, and the Retry-After of `status` (None: no
    such header).
    """

    text: str
    kind: Kind
    code: str | None = None
    status: int = 200
    seconds: float | None = None

    @property
    def reports(self) -> bool:
        """Whether a scheduler is told of the work."""
        return self.kind == "accept-report"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one word of a script; ValueError says what is wrong with it."""
        head, colon, argument = text.partition(":")
        if head in _BARE and not colon:
            return cls(text, cast(Kind, head))
        if head in {"fail", "reject"}:
            if not _ERROR_CODE.fullmatch(argument):
                raise ValueError(f"{text!r}: {head} needs an error code, as in {head}:BROKEN")
            return cls(text, cast(Kind, head), code=argument)
        if head == "slow":
            return cls(text, "slow", seconds=seconds_of(text))
        if head == "accept" and colon:
            return cls(text, "accept-report", seconds=seconds_of(text))
        if (scripted := status_of(text)) is not None:
            status, seconds = scripted
            return cls(text, "status", status=status, seconds=seconds)
        raise ValueError(
            f"{text!r} is no outcome: use {', '.join(sorted(_BARE))}, fail:CODE, reject:CODE,"
            " slow:SECONDS, accept:SECONDS or a status from 300 to 599 such as 503 or 429:2"
        )


OK = Outcome("ok", "ok")


def status_of(text: str) -> tuple[int, float | None] | None:
    """The status and the Retry-After of `503` or `429:2`; None for a word that is no status."""
    head, colon, _ = text.partition(":")
    if not _STATUS.fullmatch(head):
        return None
    seconds = seconds_of(text) if colon else None
    if seconds is not None and not seconds.is_integer():
        raise ValueError(f"{text!r}: Retry-After is in whole seconds")
    return int(head), seconds


def seconds_of(text: str) -> float:
    """The seconds after the colon of a word; ValueError says what is wrong with them."""
    argument = text.partition(":")[2]
    if not _SECONDS.fullmatch(argument) or float(argument) > MAX_SECONDS:
        raise ValueError(f"{text!r} needs seconds, 0 to {MAX_SECONDS:.0f}, after the colon")
    return float(argument)


def _as_word(value: object) -> object:
    """YAML and JSON read `503` as a number: take it as the word that was meant."""
    return str(value) if type(value) is int else value


Word = Annotated[str, BeforeValidator(_as_word)]


class Knobs(BaseModel):
    """The behaviour of one plugin; what is not set is a plugin that succeeds at once.

    `latency`: seconds between the arrival of a delivery and its outcome. `script`: see the
    module. `result`: any JSON value, given back on success. `cancel`: whether executions can be
    cancelled, see `sandbox.cancellation`. `reports`: whether work that was accepted tells of its
    progress, or of its end alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency: float = Field(default=0.0, ge=0.0, le=MAX_SECONDS, allow_inf_nan=False)
    script: tuple[Word, ...] = Field(default=("ok",), min_length=1, max_length=1000)
    result: JsonValue = None
    cancel: Literal["supported", "unsupported"] = "supported"
    reports: Literal["progress", "end"] = "progress"

    @field_validator("script")
    @classmethod
    def _script_is_known(cls, script: tuple[str, ...]) -> tuple[str, ...]:
        for word in script:
            Outcome.parse(word)
        return script

    @field_validator("result")
    @classmethod
    def _result_is_json(cls, result: JsonValue) -> JsonValue:
        json.dumps(result, allow_nan=False)  # NaN passes as a JSON value, but no JSON can say it
        return result

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The script, parsed."""
        return tuple(Outcome.parse(word) for word in self.script)

    def outcome(self, delivery: int, *, effect_done: bool) -> Outcome:
        """What becomes of the nth delivery (from 1) of a key.

        Once a key had its effect, the plugin itself can only say so again: a failure turns into
        `ok`, and so does work that would be accepted and reported. Faults of the connection still
        come as scripted, but do not repeat past the script.
        """
        scripted = self.outcomes[min(delivery, len(self.outcomes)) - 1]
        if not effect_done or scripted.kind in {"ok", "slow", "accept", "accept-later"}:
            return scripted
        repeats = delivery > len(self.outcomes)
        said_again = {"fail", "reject", "accept-report"}
        return OK if repeats or scripted.kind in said_again else scripted


PluginId = Annotated[str, StringConstraints(pattern=rf"^{PLUGIN_ID.pattern}$")]


class SandboxConfig(BaseModel):
    """The file of `--config`: `{plugins: {plugin_id: knobs}}`, each as in `Knobs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plugins: dict[PluginId, Knobs] = Field(default_factory=dict)


class ConfigError(Exception):
    """The config file cannot be used; the message is one line."""


def load_config(path: Path) -> SandboxConfig:
    """Read a YAML config file; raises ConfigError with every error in one line."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return SandboxConfig.model_validate({} if document is None else document)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        found = (
            f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(f"{path}: {'; '.join(found)}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
