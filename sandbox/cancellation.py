"""The cancel route: `DELETE /plugin/runtime/{plugin_id}/executions/{run_id}`.

The run id is the idempotency key of its execute calls, as it is or percent-encoded, and comes as
`Idempotency-Key` too.

| answer | when |
|---|---|
| 202 `{}` | the work is not finished: it is cancelled, or was before |
| 409 `ALREADY_FINISHED` | it had its effect, or the plugin answered a failure |
| 404 `NO_SUCH_EXECUTION` | the plugin never got the key |
| 404 `CANCEL_UNSUPPORTED` | the knob `cancel` is `unsupported`: nothing is cancelled |
| 401 `BAD_SIGNATURE` | the sandbox has a secret, and it did not sign this request |

A cancelled key never has an effect. Its deliveries that are still open, and those that come later,
end at once with 200, status FAILED, `CANCELLED`, not retryable; the log says `cancelled`.
"""

from starlette.types import Scope

from pluginkit.problems import Problem
from sandbox.delivery import read_headers_for, read_plugin_id
from sandbox.endpoint import Endpoint, Sleepers, now
from sandbox.journal import Journal
from sandbox.lines import CANCELLED, CancelLine
from sandbox.runtime import PluginRuntime
from sandbox.wire import Exchange


class Cancellation(Endpoint):
    """Cancels executions of the plugins of a runtime."""

    def __init__(self, journal: Journal, sleepers: Sleepers, runtime: PluginRuntime) -> None:
        super().__init__(journal, sleepers)
        self._runtime = runtime

    async def serve(self, scope: Scope, body: bytes, exchange: Exchange) -> None:
        """One request, from its arrival to its answer."""
        plugin_id = read_plugin_id(scope)
        key = scope["path_params"]["run_id"]
        self._runtime.callers.check_cancel(scope, body, plugin_id, key)
        traceparent = read_headers_for(key, scope)
        problem = self._refusal(plugin_id, key)
        line: CancelLine = {
            "event": "cancel",
            "key": key,
            "plugin_id": plugin_id,
            "traceparent": traceparent,
            "at": now(),
            "answered": problem.status if problem else CANCELLED,
        }
        ledger = self._runtime.ledger
        # Known before the log is synced: an effect that is due meanwhile must not come any more.
        ledger.cancel(line)
        if problem is None:
            self._wake(ledger.memory(key))
        await self._commit(line)
        if problem is not None:
            raise problem
        await exchange.answer(CANCELLED, b"{}")

    def _refusal(self, plugin_id: str, key: str) -> Problem | None:
        """Why it is not cancelled; None when it is."""
        if self._runtime.knobs_of(plugin_id).cancel == "unsupported":
            return Problem(404, "CANCEL_UNSUPPORTED", "the plugin cannot cancel executions")
        finished = self._runtime.ledger.finished(plugin_id, key)
        if finished is None:
            return Problem(404, "NO_SUCH_EXECUTION", f"the plugin never got the key {key}")
        if finished:
            return Problem(409, "ALREADY_FINISHED", f"the execution of {key} is over")
        return None
