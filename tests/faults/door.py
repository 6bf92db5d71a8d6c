"""The API as a process that may be killed, and somebody who asks it all the while."""

import asyncio
import os
import signal
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from domain.ids import manual_run_id
from starter.callers import TENANT_SCOPES
from tests.api.outside import Outside, outside
from tests.killed.stack import Stack

TENANT, TASK_ID = "asked", "by-hand"
REGISTER = "/internal/tasks/register"
TRIGGER = f"/internal/tasks/{TASK_ID}/trigger"
RETRY = {
    "max_attempts": 100,
    "initial_interval": "200ms",
    "backoff": 1,
    "max_interval": "1s",
    "non_retryable": [],
}
TASK: dict[str, Any] = {
    "task_id": TASK_ID,
    "plugin_id": TENANT,
    "triggers": [{"every": "365d"}],
    "overlap": "allow",
    "heartbeat_timeout": "4s",
    "retry": RETRY,
}


@dataclass(slots=True)
class Door:
    """`wrong`: answers that should not have been. Who asks asks again until it is done."""

    stack: Stack
    ending: ExitStack
    api: Outside | None = None
    headers: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    refused: int = 0
    pending: str | None = None
    """The key that was asked for, and is not known to be done."""

    async def open(self) -> None:
        """Start the process; one that finds no Temporal ends, and is started again."""
        environment = self.stack.environment | {"TASKFLOW_TEMPORAL_TIMEOUT": "5"}
        for _ in range(10):
            self.ending.close()
            try:
                self.api = await asyncio.to_thread(self._enter, environment)
            except AssertionError:
                continue
            self.headers = self.headers or self.api.caller(TENANT, *TENANT_SCOPES)
            return
        raise AssertionError("the API did not begin")

    def _enter(self, environment: dict[str, str]) -> Outside:
        return self.ending.enter_context(outside(self.stack.folder, **environment))

    def kill(self) -> None:
        """SIGKILL."""
        assert self.api
        os.kill(self.api.process.pid, signal.SIGKILL)

    async def register(self) -> None:
        """The task that is triggered, and what its runs are judged by."""
        await self._until_done("POST", REGISTER, TASK)
        self.stack.task(TENANT, TASK_ID, TENANT)

    async def trigger(self, key: str) -> None:
        """One run, however often it has to be asked for."""
        self.pending = key
        run_id = manual_run_id(TENANT, TASK_ID, key)
        self.stack.due.setdefault(TENANT, set()).add(run_id)
        answer = await self._until_done("POST", TRIGGER, {}, {"Idempotency-Key": key})
        if answer.json()["run_id"] != run_id:
            self.wrong.append(f"asked for {run_id}: {answer.text}")
        self.pending = None

    async def _until_done(
        self, method: str, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        while True:
            assert self.api
            said = self.headers | (headers or {})
            try:
                async with httpx.AsyncClient(base_url=self.api.url, timeout=20) as http:
                    answer = await http.request(method, path, json=body, headers=said)
            except httpx.TransportError:
                await asyncio.sleep(0.5)
                continue
            if answer.is_success:
                return answer
            self._judge(answer)
            await asyncio.sleep(0.5)

    def _judge(self, answer: httpx.Response) -> None:
        """Whatever is refused is a problem with a code, and only for want of Temporal."""
        self.refused += 1
        problem = answer.headers.get("content-type", "").startswith("application/problem+json")
        if answer.status_code != 503 or not problem or not answer.json().get("code"):
            self.wrong.append(f"{answer.request.url}: {answer.status_code} {answer.text}")
