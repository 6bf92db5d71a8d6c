"""What a plugin says of an execution: in the answer to its call, or in its last report."""

import json
import re
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import JsonValue

MAX_RESULT_BYTES = 256 * 1024
MAX_MESSAGE = 4000

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")


class PluginError(Exception):
    """Raise it for work that cannot be done; `retryable` false ends the run."""

    def __init__(self, code: str, message: str, *, retryable: bool = True) -> None:
        """`code` is for programs, as in `OUT_OF_PAPER`. Errors: `ValueError` for no code."""
        if not _CODE.fullmatch(code):
            raise ValueError(f"the error code {code!r} is not {_CODE.pattern}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Answer:
    """How an execution ended."""

    status: Literal["SUCCESS", "FAILED"]
    result: JsonValue = None
    error_code: str | None = None
    message: str | None = None
    retryable: bool = False

    @property
    def stands(self) -> bool:
        """Whether it is for good: only what may be tried again is ever done again."""
        return self.status == "SUCCESS" or not self.retryable

    def body(self) -> bytes:
        """The JSON body of a 200."""
        return json.dumps(asdict(self)).encode()


def success(result: JsonValue) -> Answer:
    """The work is done."""
    return Answer("SUCCESS", result)


def failure(code: str, message: str, *, retryable: bool) -> Answer:
    """The work is not done."""
    text = message[:MAX_MESSAGE].encode("utf-8", "replace").decode()  # whatever an error holds
    return Answer("FAILED", None, code, text, retryable)


CANCELLED = failure("CANCELLED", "the execution was cancelled", retryable=False)


def judged(result: JsonValue) -> Answer:
    """What the work gave back: a success, unless no answer could carry it."""
    try:
        # Not ASCII only: so the scheduler measures it.
        json.dumps(result, ensure_ascii=False).encode()  # text that is no Unicode is no JSON
        size = len(json.dumps(result, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        text = f"the work was done, but its result is not JSON: {error}"
        return failure("RESULT_NOT_JSON", text, retryable=False)
    if size > MAX_RESULT_BYTES:
        text = f"the work was done, but its result has more than {MAX_RESULT_BYTES} bytes"
        return failure("RESULT_TOO_LARGE", f"{text}: give back a reference", retryable=False)
    return success(result)
