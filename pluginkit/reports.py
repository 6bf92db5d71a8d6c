"""Reports to the scheduler: `task.execution.updated` as signed CloudEvents."""

import asyncio
import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import httpx
from pydantic import JsonValue

from pluginkit.answers import Answer
from pluginkit.requests import Execution
from pluginkit.secrets import Secrets
from shared.webhooks import request_id, sign

log = logging.getLogger(__name__)

PATH = "/internal/events"
TYPE = "task.execution.updated"
CONTENT_TYPE = "application/cloudevents+json"
_OVER = frozenset({404, 409})
_REFUSED = frozenset({400, 413, 422})
_MOST_WAIT = 60.0


class Heard(Enum):
    """What the scheduler said to a report."""

    TAKEN = "it is the newest, or came before"
    CANCELLED = "it was taken, and nobody wants the work any more"
    OVER = "the attempt is over, or was never known"
    REFUSED = "what it says cannot be taken, however often it comes"
    NOTHING = "there was no answer, or none that is final"


@dataclass(slots=True)
class Sequence:
    """Numbers that grow from report to report, also over a restart of the plugin."""

    last: int = 0

    def next(self) -> int:
        """Milliseconds since 1970, or one more than the number before."""
        self.last = max(self.last + 1, time.time_ns() // 1_000_000)
        return self.last


@dataclass(frozen=True, slots=True)
class Report:
    """One report about the attempt that a delivery belongs to."""

    plugin_id: str
    execution: Execution
    sequence: int
    said: dict[str, JsonValue]

    def event(self) -> tuple[str, bytes]:
        """Its id and the CloudEvent, in the structured form."""
        about = self.execution
        event_id = request_id("report", about.run_id, str(about.attempt), str(self.sequence))
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": event_id,
            "source": f"/plugin/runtime/{self.plugin_id}",
            "type": TYPE,
            "subject": about.run_id,
            "time": datetime.now(UTC).isoformat(),
            "datacontenttype": "application/json",
            "data": {
                "run_id": about.run_id,
                "attempt": about.attempt,
                "nonce": about.nonce,
                "sequence": self.sequence,
                **self.said,
            },
        }
        return event_id, json.dumps(event, ensure_ascii=False, allow_nan=False).encode()


def running(progress: JsonValue, message: str | None) -> dict[str, JsonValue]:
    """What a heartbeat says."""
    return {"status": "RUNNING", "progress": progress, "message": message}


def final(answer: Answer) -> dict[str, JsonValue]:
    """What the last report says."""
    if answer.status == "SUCCESS":
        return {"status": "SUCCESS", "result": answer.result}
    return {
        "status": "FAILED",
        "error_code": answer.error_code,
        "message": answer.message,
        "retryable": answer.retryable,
    }


class Reporter:
    """The way to the scheduler; used from one event loop."""

    def __init__(
        self, url: str, secrets: Secrets, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = f"{url.rstrip('/')}{PATH}"
        self._secrets = secrets
        self._http = httpx.AsyncClient(
            transport=transport, trust_env=False, follow_redirects=False, timeout=10
        )
        self._quiet = False

    async def send(self, report: Report, timeout: float) -> tuple[Heard, float]:  # noqa: ASYNC109
        """Send it once; what was heard, and in how many seconds to come again."""
        event_id, body = report.event()
        headers = {"content-type": CONTENT_TYPE}
        secrets = self._secrets()
        if secrets:
            headers |= sign(secrets, event_id, body, now=datetime.now(UTC))
        try:
            async with asyncio.timeout(timeout):
                answer = await self._http.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, TimeoutError) as error:
            return self._nothing(str(error) or type(error).__name__), 0.0
        if answer.status_code in _OVER:
            return Heard.OVER, 0.0
        if not answer.is_success:
            wait = answer.headers.get("retry-after", "")
            reason = f"it answered {answer.status_code} {answer.text[:200]}"
            if answer.status_code in _REFUSED:
                log.error(
                    "the scheduler refused a report: %s", reason, extra={"action": "report_refused"}
                )
                return Heard.REFUSED, 0.0
            seconds = min(float(wait), _MOST_WAIT) if wait.isascii() and wait.isdigit() else 0.0
            return self._nothing(reason), seconds
        self._quiet = False
        return (Heard.CANCELLED if _is_cancelled(answer) else Heard.TAKEN), 0.0

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    def _nothing(self, reason: str) -> Heard:
        if not self._quiet:  # once, and not for each heartbeat of an outage
            log.warning(
                "the scheduler at %s took no report: %s",
                self._url,
                reason,
                extra={"action": "report_not_taken"},
            )
        self._quiet = True
        return Heard.NOTHING


def _is_cancelled(answer: httpx.Response) -> bool:
    try:
        document = answer.json()
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("cancel_requested") is True
