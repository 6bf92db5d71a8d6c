"""A scheduler to which a sandbox reports, on a real socket; tests say what it answers."""

import asyncio
import json
from collections import deque
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.webhooks import verify
from tests.pluginkit.harness import SECRETS

TAKEN = {"duplicate": False, "cancel_requested": False}
UNWANTED = TAKEN | {"cancel_requested": True}


class Scheduler:
    """Hears reports that are signed. `unwanted` are runs that nobody wants, `over` those at an end.

    `refusals` are answered first, one status for each report.
    """

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.unwanted: set[str] = set()
        self.over: set[str] = set()
        self.refusals: deque[int] = deque()
        self.app = Starlette(routes=[Route("/internal/events", self._hear, methods=["POST"])])

    def of(self, run_id: str) -> list[dict[str, Any]]:
        """What was reported of a run, in order of arrival."""
        return [report for report in self.reports if report["run_id"] == run_id]

    async def end_of(self, run_id: str) -> dict[str, Any]:
        """The last report of a run, once it has come."""
        async with asyncio.timeout(10):
            while True:
                for report in self.of(run_id):
                    if report["status"] != "RUNNING":
                        return report
                await asyncio.sleep(0.02)

    async def _hear(self, request: Request) -> Response:
        body = await request.body()
        verify(SECRETS, request.headers, body, now=datetime.now(UTC))
        event = json.loads(body)
        assert event["type"] == "task.execution.updated"
        if self.refusals:
            return Response(status_code=self.refusals.popleft())
        run_id = event["data"]["run_id"]
        if run_id in self.over:
            return Response(status_code=409)
        self.reports.append(event["data"])
        return JSONResponse(UNWANTED if run_id in self.unwanted else TAKEN)
