"""What a caller must send, checked: plugin id, headers and the body of an execute call."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)
from pydantic_core import from_json

from pluginkit.problems import Problem, field_errors

PLUGIN_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_BODY_BYTES = 256 * 1024
"""Of an execute call; a cancel call has no body."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=1000)]

_MOST = 2**53
_KEY = re.compile(r"[!-~]{1,3000}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Execution(BaseModel):
    """The body of an execute call. Fields that are not known are let through.

    `attempt` counts from 1; `deadline` is RFC 3339 with an offset; `fence` is 0 for a run that
    holds no lock; `trigger` is any JSON value. The others need not be there: `nonce` proves
    reports, `compensates` is the id of the run that the call compensates, `heartbeat_timeout` is in
    seconds.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    run_id: Name
    attempt: int = Field(ge=1, le=_MOST)
    tenant_id: Name
    task_id: Name
    params: dict[str, JsonValue]
    trigger: Any
    deadline: AwareDatetime
    fence: int = Field(ge=0, le=_MOST)
    plugin_id: str | None = None
    nonce: str | None = None
    compensates: str | None = None
    heartbeat_timeout: float | None = Field(None, gt=0, allow_inf_nan=False)

    def left(self, now: datetime) -> float:
        """Seconds to the deadline, less than 0 once it is past."""
        return (self.deadline - now).total_seconds()


def read_execution(body: bytes) -> Execution:
    """The body of an execute call. Raises Problem 400."""
    try:
        if b"NaN" in body or b"Infinity" in body:  # pydantic takes them as numbers; JSON has none
            from_json(body, allow_inf_nan=False)
        return Execution.model_validate_json(body)
    except ValueError as error:
        errors = field_errors(error.errors()) if isinstance(error, ValidationError) else []
        detail = "the body is not valid" if errors else "the body is not JSON"
        raise Problem(400, "INVALID_EXECUTION", detail, errors) from error


def check_plugin_id(plugin_id: str) -> str:
    """The plugin that a path names. Raises Problem 404."""
    if not PLUGIN_ID.fullmatch(plugin_id):
        raise Problem(404, "NO_SUCH_PLUGIN", f"the plugin id is not {PLUGIN_ID.pattern}")
    return plugin_id


def read_headers(headers: Mapping[bytes, bytes]) -> tuple[str, str]:
    """The idempotency key and the `traceparent` of a call, by lower-case names.

    The key as it was sent: see `names`. Raises Problem 400.
    """
    return _header(headers, "idempotency-key", _KEY), _header(headers, "traceparent", _TRACEPARENT)


def names(header: str, key: str) -> bool:
    """Whether a header is this key: as it is, or percent-encoded if it has more than ASCII."""
    return key in {header, unquote(header)}


def _header(headers: Mapping[bytes, bytes], name: str, form: re.Pattern[str]) -> str:
    value = headers.get(name.encode())
    if value is None:
        raise Problem(400, "MISSING_HEADER", f"the header {name} is missing")
    text = value.decode("latin-1")
    if not form.fullmatch(text):
        raise Problem(400, "INVALID_HEADER", f"the header {name} is not {form.pattern}")
    return text
