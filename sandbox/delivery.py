"""A request to `POST /plugin/runtime/{plugin_id}/execute`, as the ledger counts it."""

from starlette.types import Scope

from pluginkit.problems import Problem
from pluginkit.requests import check_plugin_id, names, read_execution
from pluginkit.requests import read_headers as _read_headers
from sandbox.ledger import Entry, Ledger
from sandbox.lines import Asked, Sent


def read_delivery(scope: Scope, body: bytes, ledger: Ledger, at: str, *, signed: bool) -> Entry:
    """The delivery that a request makes, not yet counted. Raises Problem 404 or 400.

    A signature covers the body alone: of a `signed` one, path and key have to be what it says.
    """
    plugin_id = read_plugin_id(scope)
    key, traceparent = read_headers(scope)
    execution = read_execution(body)
    if signed and not names(key, execution.run_id):
        raise Problem(400, "INVALID_HEADER", "the header idempotency-key is not the run_id")
    if signed and execution.plugin_id != plugin_id:
        raise Problem(400, "OTHER_PLUGIN", "the body is meant for another plugin id")
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
    memory = ledger.memory(key)
    return Entry(sent=sent, started_at=at, memory=memory, asked=asked, execution=execution)


def read_plugin_id(scope: Scope) -> str:
    """The plugin that a path names. Raises Problem 404."""
    return check_plugin_id(scope["path_params"]["plugin_id"])


def read_headers(scope: Scope) -> tuple[str, str]:
    """The idempotency key and the `traceparent` that every call carries. Raises Problem 400."""
    return _read_headers(dict(scope["headers"]))


def read_headers_for(key: str, scope: Scope) -> str:
    """The `traceparent` of a call whose idempotency key has to be this. Raises Problem 400."""
    sent, traceparent = read_headers(scope)
    if sent != key:
        raise Problem(400, "INVALID_HEADER", f"the header idempotency-key is not {key}")
    return traceparent
