"""Runs whose plugin is the test itself: it sees each call, and reports when it likes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

from temporalio.client import Client, WorkflowHandle

from domain.executions import ExecutionReport, Progress
from domain.ids import manual_run_id
from domain.run import ExecuteInput, Fire, TriggerKind
from shared.errors import Conflict, NotFound
from starter.executions import Reported, progress_of, report
from tests.activities.server import RawServer, Request, http
from tests.executions.one_call import Ended, OneCall, Wanted

ACCEPTED = http("202 Accepted", b'{"id": 7}', content_type="application/json")
PATIENCE = 20

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Told:
    """What the plugin was told of one attempt, and what it may say of it."""

    client: Client
    body: dict[str, Any]

    def says(self, sequence: int, status: str = "RUNNING", **fields: Any) -> ExecutionReport:
        """A report of this attempt."""
        known = {"run_id": self.body["run_id"], "attempt": self.body["attempt"]}
        said = {"nonce": self.body["nonce"], "sequence": sequence, "status": status}
        return ExecutionReport.model_validate(known | said | fields)

    async def report(
        self, sequence: int, status: str = "RUNNING", tenant: str | None = "acme", **fields: Any
    ) -> Reported:
        """Report."""
        return await report(self.client, tenant, self.says(sequence, status, **fields))

    async def outcome(self, sequence: int, status: str = "RUNNING", **fields: Any) -> str:
        """Report, and what came of it in a word."""
        try:
            taken = await self.report(sequence, status, **fields)
        except Conflict as conflict:
            return conflict.code
        except NotFound:
            return "NOT_FOUND"
        return "duplicate" if taken.duplicate else "taken"

    async def progress(self) -> Progress | None:
        """What the run shows of it."""
        return await progress_of(self.client, self.body["run_id"])


@dataclass(frozen=True, slots=True)
class Run:
    """A run under way."""

    handle: WorkflowHandle[Any, Any]
    server: RawServer
    client: Client

    async def told(self, attempt: int = 1) -> Told:
        """What the plugin was told of this attempt, once it was."""

        async def found() -> Request | None:
            return next((r for r in self.calls() if r.body["attempt"] == attempt), None)

        return Told(self.client, (await until(found)).body)

    async def accepted(self, attempt: int = 1) -> Told:
        """The same, once Temporal knows that the plugin accepted it."""
        told = await self.told(attempt)

        async def stored() -> bool:
            progress = await progress_of(self.client, self.handle.id)
            return progress is not None and progress.attempt == attempt

        await until(stored)
        return told

    def calls(self) -> list[Request]:
        """Of this run."""
        key = self.handle.id
        found = [r for r in self.server.requests if r.line.startswith("POST ")]
        return [r for r in found if r.headers["idempotency-key"].startswith(key)]

    def stops(self) -> list[Request]:
        """What told the plugin to stop it."""
        key = self.handle.id
        found = [r for r in self.server.requests if r.line.startswith("DELETE ")]
        return [r for r in found if r.headers["idempotency-key"].startswith(key)]

    async def ends(self) -> list[Ended]:
        """How its attempts ended."""
        async with asyncio.timeout(PATIENCE):
            ends: list[Ended] = await self.handle.result()
        return ends

    async def end(self) -> Ended:
        """How its only attempt ended."""
        [end] = await self.ends()
        return end


@dataclass(frozen=True, slots=True)
class Executions:
    """Starts runs on one queue."""

    client: Client
    queue: str
    server: RawServer

    async def start(
        self, *, heartbeat: float = 30, attempts: int = 1, key: str = "", **fields: Any
    ) -> Run:
        """A run that calls the plugin; fields are those of the call."""
        at = datetime.now(UTC)
        least: dict[str, Any] = {
            "tenant_id": "acme",
            "task_id": "long",
            "plugin_id": "builder",
            "params": {},
            "trigger": Fire(kind=TriggerKind.MANUAL, nominal_time=at, trigger_time=at),
            "timeout": timedelta(seconds=60),
        }
        wanted = Wanted(
            request=ExecuteInput.model_validate(least | fields),
            heartbeat_timeout=timedelta(seconds=heartbeat),
            attempts=attempts,
        )
        handle = await self.client.start_workflow(
            OneCall.run,
            wanted,
            id=manual_run_id("acme", "long", f"{uuid4()}{key}"),
            task_queue=self.queue,
        )
        return Run(handle, self.server, self.client)


async def until(look: Callable[[], Awaitable[Found | None]]) -> Found:
    """What a look finds, once it finds something."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await look()):  # noqa: ASYNC110 - Temporal sets no event of ours
            await asyncio.sleep(0.02)
        return found
