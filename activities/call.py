"""One call of a plugin: what it is known by and what it says."""

import json
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from temporalio import activity

from domain.executions import compensation_key, nonce_of
from domain.run import ExecuteInput, fence_of
from domain.trace import trace_id, traceparent


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
        return traceparent(self.trace, self.attempt)

    @property
    def waits(self) -> bool:
        """Whether a report may end it later."""
        return not (self.request.short or self.info.is_local)

    def body(self) -> bytes:
        """The JSON that is sent."""
        request = self.request
        body = {
            "run_id": self.key,
            "attempt": self.attempt,
            "tenant_id": request.tenant_id,
            "task_id": request.task_id,
            "params": request.params,
            "trigger": request.trigger.model_dump(mode="json"),
            "deadline": (self.started + request.timeout).isoformat(),
            "fence": fence_of(request.fence, self.attempt),
            "nonce": nonce_of(self.info.workflow_run_id or "", self.key, self.attempt),
            "compensates": self.run_id if request.compensates else None,
        }
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
