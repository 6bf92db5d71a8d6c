"""The notification service: `POST /notifications/sla-breach`, which tells people of a breach.

The body is `{breach_id, kind, tenant_id, task_id, run_id, expected_by, observed_at, severity,
message, work_order}`, and `Idempotency-Key` is the breach id. The answer is `{"work_order_id":
"WO-1"}`, or null when `work_order` is. A breach is told once: whoever sends it again gets the same
answer, whatever the body is by then.

The script is that of `sandbox.scripted`, for a breach id.
"""

import json
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import from_json
from starlette.types import Scope

from pluginkit.problems import Problem, field_errors
from pluginkit.requests import Name
from sandbox.breaches import NotificationLine
from sandbox.delivery import read_headers_for
from sandbox.endpoint import Endpoint, Sleepers, now
from sandbox.journal import Journal
from sandbox.ledger import Ledger
from sandbox.scripted import DONE, ServiceKnobs, fail
from sandbox.wire import Exchange


class Breach(BaseModel):
    """The body of a notification. Fields that are not known are let through."""

    model_config = ConfigDict(strict=True)

    breach_id: Name
    kind: Literal["WARNING", "START", "FINISH", "CONSECUTIVE", "FAILED"]
    tenant_id: Name
    task_id: Name
    run_id: Name
    expected_by: AwareDatetime | None
    observed_at: AwareDatetime
    severity: Literal["low", "medium", "high", "critical"]
    message: str
    work_order: dict[str, JsonValue] | None


class NotificationService(Endpoint):
    """The notification service of the sandbox: its knobs, whom it told, and where it is written."""

    def __init__(self, journal: Journal, sleepers: Sleepers, ledger: Ledger) -> None:
        super().__init__(journal, sleepers)
        self.knobs = ServiceKnobs()
        self.ledger = ledger

    async def serve(self, scope: Scope, body: bytes, exchange: Exchange) -> None:
        """One request, from its arrival to its answer."""
        try:
            breach = Breach.model_validate_json(body)
            notification = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            errors = field_errors(error.errors()) if isinstance(error, ValidationError) else []
            raise Problem(400, "INVALID_NOTIFICATION", "the body is not valid", errors) from error
        read_headers_for(breach.breach_id, scope)
        if not await self._sleep(self.knobs.latency):
            await exchange.close()
            return
        state = self.ledger.notifications
        word = self.knobs.word(state.asked[breach.breach_id])
        order = state.work_order(breach.breach_id, wanted=breach.work_order is not None)
        taken = word in DONE
        line: NotificationLine = {
            "event": "notification",
            "breach_id": breach.breach_id,
            "notification": notification,
            "taken": taken,
            "work_order_id": order if taken else None,
            "outcome": word,
            "at": now(),
        }
        # Known before the log is synced: the same breach that comes meanwhile is a repeat.
        state.record(line)
        await self._commit(line)
        answer = json.dumps({"work_order_id": order}).encode()
        if word == "ok":
            await exchange.answer(200, answer)
        else:
            await fail(word, exchange, answer)
