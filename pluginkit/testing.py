"""A scheduler in a test: it calls a plugin as the real one does, without a server between them.

async with Scheduler(plugin) as scheduler:
    assert await scheduler.run("report-builder", {"scope": "all"}) == {"rows": 12}
"""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import quote

import httpx
from pydantic import JsonValue

from pluginkit.plugin import Plugin
from shared.webhooks import request_id, sign

_ADDRESS = "http://plugin"
_TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Failed(Exception):  # noqa: N818 - reads as what became of it
    """The plugin answered, or reported, that the work was not done."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(f"{said.get('error_code')}: {said.get('message')}")
        self.code = said.get("error_code")
        self.message = said.get("message")
        self.retryable = said.get("retryable")


class Scheduler:
    """Signs as the plugin expects it, hears its reports, and closes it at the end.

    `reports` are the data of all reports. `wants` false answers them that nobody wants the work.
    """

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(plugin.asgi()), base_url=_ADDRESS
        )
        self._told = asyncio.Condition()
        self.reports: list[dict[str, Any]] = []
        self.wants = True
        plugin.transport = httpx.MockTransport(self._hear)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._plugin.close()
        await self._http.aclose()

    async def run(
        self, plugin_id: str, params: dict[str, JsonValue] | None = None, **fields: Any
    ) -> JsonValue:
        """The result of an execution, however it is told. Errors: `Failed`."""
        body = self.body(plugin_id, params, **fields)
        answer = await self.execute(plugin_id, body)
        if answer.status_code == httpx.codes.ACCEPTED:
            said = await self.end_of(body["run_id"], body["attempt"])
        else:
            answer.raise_for_status()
            said = answer.json()
        if said["status"] == "FAILED":
            raise Failed(said)
        result: JsonValue = said["result"]
        return result

    def body(
        self, plugin_id: str, params: dict[str, JsonValue] | None = None, **fields: Any
    ) -> dict[str, Any]:
        """The body of a call; without a `run_id` it is that of a run of its own."""
        now = datetime.now(UTC)
        fire = {"nominal_time": now.isoformat(), "trigger_time": now.isoformat(), "payload": None}
        return {
            "run_id": f"run/test/task/manual/{uuid.uuid4()}",
            "plugin_id": plugin_id,
            "attempt": 1,
            "tenant_id": "test",
            "task_id": "task",
            "params": params or {},
            "trigger": {"kind": "manual"} | fire,
            "deadline": (now + timedelta(minutes=1)).isoformat(),
            "heartbeat_timeout": 30.0,
            "fence": fields.get("attempt", 1),
            "nonce": uuid.uuid4().hex,
            "compensates": None,
        } | fields

    async def execute(self, plugin_id: str, body: dict[str, Any]) -> httpx.Response:
        """One delivery of a call."""
        content = json.dumps(body).encode()
        key = str(body["run_id"])
        signed = self._signed(request_id("execute", plugin_id, key, str(body["attempt"])), content)
        headers = {"content-type": "application/json"} | self._about(key) | signed
        path = f"/plugin/runtime/{plugin_id}/execute"
        return await self._http.post(path, content=content, headers=headers)

    async def cancel(self, plugin_id: str, run_id: str) -> httpx.Response:
        """Tell the plugin to stop."""
        headers = self._about(run_id) | self._signed(request_id("cancel", plugin_id, run_id), b"")
        path = f"/plugin/runtime/{plugin_id}/executions/{quote(run_id, safe='')}"
        return await self._http.delete(path, headers=headers)

    async def end_of(self, run_id: str, attempt: int = 1) -> dict[str, Any]:
        """The last report of an attempt, once it has come."""

        def found() -> dict[str, Any] | None:
            ends = [report for report in self.reports if report["status"] != "RUNNING"]
            about = [(end["run_id"], end["attempt"]) for end in ends]
            return ends[about.index((run_id, attempt))] if (run_id, attempt) in about else None

        async with self._told:
            await self._told.wait_for(lambda: found() is not None)
        return found() or {}

    async def _hear(self, request: httpx.Request) -> httpx.Response:
        self.reports.append(json.loads(request.content)["data"])
        async with self._told:
            self._told.notify_all()
        return httpx.Response(200, json={"duplicate": False, "cancel_requested": not self.wants})

    def _about(self, key: str) -> dict[str, str]:
        return {"idempotency-key": quote(key, safe="/:"), "traceparent": _TRACEPARENT}

    def _signed(self, message_id: str, content: bytes) -> dict[str, str]:
        secrets = self._plugin.secrets()
        return sign(secrets, message_id, content, now=datetime.now(UTC)) if secrets else {}
