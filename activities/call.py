"""One call of a plugin: what it is known by and what it says."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from temporalio import activity

from domain.executions import compensation_key, nonce_of
from domain.run import ExecuteInput, fence_of
from domain.states import RunState
from domain.task import Params
from domain.trace import attempt_span, trace_id
from shared.tracing import parent_header
from shared.webhooks import Secret, request_id, sign

Secrets = Callable[[], Sequence[Secret]]
"""What is shared with the plugin runtime now, the newest first; empty where calls go unsigned."""


def signature(secrets: Sequence[Secret], *what: str, body: bytes = b"") -> dict[str, str]:
    """The headers that sign a request now; `what` names it, and comes back in its id."""
    return sign(secrets, request_id(*what), body, now=datetime.now(UTC)) if secrets else {}


def headers(key: str, parent: str) -> dict[str, str]:
    """Those of every call about an execution. Visible ASCII goes as it is, all else encoded."""
    visible = key.isascii() and key.isprintable() and " " not in key
    return {"Idempotency-Key": key if visible else quote(key), "traceparent": parent}


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt: what it is called, and where it stands."""

    request: ExecuteInput
    info: activity.Info
    started: datetime

    @property
    def run_id(self) -> str:
        """The run that it belongs to."""
        return self.info.workflow_id or ""

    @property
    def key(self) -> str:
        """What the plugin knows the execution by: of a run, or of its compensation."""
        return compensation_key(self.run_id) if self.request.compensates else self.run_id

    @property
    def attempt(self) -> int:
        """As the run counts, or Temporal for a run that does not."""
        return self.request.attempt or self.info.attempt

    @property
    def trace(self) -> str:
        """Of the whole run."""
        return trace_id(self.run_id, self.info.workflow_run_id or "")

    @property
    def parent(self) -> str:
        """The `traceparent` header."""
        compensates = self.request.compensates
        span = attempt_span(self.trace, self.attempt, compensates=compensates)
        return parent_header(self.trace, span)

    @property
    def waits(self) -> bool:
        """Whether a report may end it later."""
        return not (self.request.short or self.info.is_local)

    def line(self) -> dict[str, Any]:
        """What lines of the log say of the attempt while it goes on."""
        return {
            "task_id": self.request.task_id,
            "tenant_id": self.request.tenant_id,
            "run_id": self.run_id,
            "trigger_time": self.request.trigger.trigger_time,
            "actual_start": self.started,
            "duration_ms": None,
            "status": RunState.COMPENSATING if self.request.compensates else RunState.RUNNING,
            "retry_count": self.attempt - 1,
            "error_code": None,
            "trace_id": self.trace,
        }

    def headers(self, body: bytes, secrets: Sequence[Secret]) -> dict[str, str]:
        """Those that go with the body, signed now."""
        what = ("execute", self.request.plugin_id, self.key, str(self.attempt))
        return {
            **headers(self.key, self.parent),
            "Content-Type": "application/json",
            **signature(secrets, *what, body=body),
        }

    def body(self, params: Params) -> bytes:
        """The JSON that is sent; `params`: those of the request, with the values of secrets."""
        request = self.request
        silence = None if self.info.is_local else self.info.heartbeat_timeout
        body = {
            "run_id": self.key,
            "plugin_id": request.plugin_id,
            "attempt": self.attempt,
            "tenant_id": request.tenant_id,
            "task_id": request.task_id,
            "params": params,
            "trigger": request.trigger.model_dump(mode="json"),
            "deadline": (self.started + request.timeout).isoformat(),
            "heartbeat_timeout": silence.total_seconds() if silence else None,
            "fence": fence_of(request.fence, self.attempt),
            "nonce": nonce_of(self.info.workflow_run_id or "", self.key, self.attempt),
            "compensates": self.run_id if request.compensates else None,
        }
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
