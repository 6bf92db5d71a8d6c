"""The lines of the log that tell of idempotency keys: deliveries, effects, cancellations, resets.

`at` is RFC 3339 in UTC with microseconds. Lines of old, with fewer fields, must stay readable.
"""

from typing import Literal, NotRequired

from pydantic import JsonValue
from typing_extensions import TypedDict

CANCELLED = 202  # the status of a cancellation that was granted


class Sent(TypedDict):
    """What a caller sent, the same wherever a delivery is written.

    `delivery` counts from 1 within the key.
    """

    key: str
    delivery: int
    attempt: int
    fence: int
    plugin_id: str
    tenant_id: str
    task_id: str
    run_id: str
    traceparent: str


class Asked(TypedDict):
    """What the body of a delivery says beside, written once. `deadline` is RFC 3339.

    `nonce` and `compensates` (a run id) are None when the caller sent none.
    """

    nonce: str | None
    compensates: str | None
    params: dict[str, JsonValue]
    deadline: str | None


UNKNOWN: Asked = {"nonce": None, "compensates": None, "params": {}, "deadline": None}


class DeliveryLine(Sent):
    """One line of the log: a delivery arrived (`start`) or is over (`end`).

    `outcome` and `effect` are null on `start`; on `end` the outcome is the word of the script,
    `stale`, `cancelled`, `late` or `stopped`, and the effect the number of the effect that the
    answer, or the last report, stands for. `result` is there on the first line of an effect when
    the plugin gives a result back. `asked` is there on `start`, except on lines of old.
    """

    event: Literal["start", "end"]
    at: str
    outcome: str | None
    effect: int | None
    result: NotRequired[JsonValue]
    asked: NotRequired[Asked]


class EffectLine(TypedDict):
    """One line of the log: a key had its effect after its answer. `result` as in a delivery."""

    event: Literal["effect"]
    key: str
    at: str
    effect: int
    result: NotRequired[JsonValue]


class CancelLine(TypedDict):
    """One line of the log: a caller wanted the execution of a key cancelled.

    `answered` is the status: 202 cancelled, 409 already finished, 404 unknown or not supported.
    """

    event: Literal["cancel"]
    key: str
    plugin_id: str
    traceparent: str
    at: str
    answered: int


class UnwantedLine(TypedDict):
    """One line of the log: a report was answered that nobody wants the work of the key any more."""

    event: Literal["unwanted"]
    key: str
    at: str


class ResetLine(TypedDict):
    """The line that says that everything above it is forgotten."""

    event: Literal["reset"]
    at: str
