"""What a caller must send to `POST /plugin/runtime/{plugin_id}/execute`, checked."""

import re
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)
from starlette.types import Scope

from sandbox.knobs import PLUGIN_ID
from sandbox.ledger import Entry, Ledger
from sandbox.lines import Asked, Sent
from sandbox.problems import Problem, field_errors

Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]

_KEY = re.compile(r"[!-~]{1,512}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Execution(BaseModel):
    """The body of an execute call. Fields that are not known are let through.

    `attempt` counts from 1; `deadline` is RFC 3339 with an offset; `fence` is 0 for a run that
    holds no lock; `trigger` is any JSON value. `nonce` and `compensates` (the id of the run that
    the call compensates) need not be there.
    """

    model_config = ConfigDict(extra="ignore")

    run_id: Name
    attempt: int = Field(ge=1)
    tenant_id: Name
    task_id: Name
    params: dict[str, JsonValue]
    trigger: Any
    deadline: AwareDatetime
    fence: int = Field(ge=0)
    nonce: str | None = None
    compensates: str | None = None


def read_delivery(scope: Scope, body: bytes, ledger: Ledger, at: str) -> Entry:
    """The delivery that a request makes, not yet counted. Raises Problem 404 or 400."""
    plugin_id = read_plugin_id(scope)
    key, traceparent = read_headers(scope)
    try:
        execution = Execution.model_validate_json(body)
    except ValidationError as error:
        errors = field_errors(error.errors())
        raise Problem(400, "INVALID_EXECUTION", "the body is not valid", errors) from error
    sent: Sent = {
        "key": key,
        "delivery": 0,
        "attempt": execution.attempt,
        "fence": execution.fence,
        "plugin_id": plugin_id,
        "tenant_id": execution.tenant_id,
        "task_id": execution.task_id,
        "run_id": execution.run_id,
        "traceparent": traceparent,
    }
    asked: Asked = {
        "nonce": execution.nonce,
        "compensates": execution.compensates,
        "params": execution.params,
        "deadline": execution.deadline.isoformat(),
    }
    return Entry(sent=sent, started_at=at, memory=ledger.memory(key), asked=asked)


def read_plugin_id(scope: Scope) -> str:
    """The plugin that a path names. Raises Problem 404."""
    plugin_id: str = scope["path_params"]["plugin_id"]
    if not PLUGIN_ID.fullmatch(plugin_id):
        raise Problem(404, "NO_SUCH_PLUGIN", f"the plugin id is not {PLUGIN_ID.pattern}")
    return plugin_id


def read_headers(scope: Scope) -> tuple[str, str]:
    """The idempotency key and the `traceparent` that every call carries. Raises Problem 400."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    return _header(headers, "idempotency-key", _KEY), _header(headers, "traceparent", _TRACEPARENT)


def read_headers_for(key: str, scope: Scope) -> str:
    """The `traceparent` of a call whose idempotency key has to be this. Raises Problem 400."""
    sent, traceparent = read_headers(scope)
    if sent != key:
        raise Problem(400, "INVALID_HEADER", f"the header idempotency-key is not {key}")
    return traceparent


def _header(headers: dict[bytes, bytes], name: str, form: re.Pattern[str]) -> str:
    value = headers.get(name.encode())
    if value is None:
        raise Problem(400, "MISSING_HEADER", f"the header {name} is missing")
    text = value.decode("latin-1")
    if not form.fullmatch(text):
        raise Problem(400, "INVALID_HEADER", f"the header {name} is not {form.pattern}")
    return text
