"""The whole product as processes: the Temporal server, workers, and the sandbox as the outside."""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from temporalio.client import Client
from temporalio.service import RPCError

from domain.attributes import TASK_RUN
from domain.ids import manual_run_id
from domain.recovery import is_short
from domain.run import TaskRunInput, TaskRunResult, TriggerKind
from domain.task import Task
from sandbox.client import Delivery, Notification, Reservation, SandboxClient
from shared.governor import view_governor
from shared.schedules import run_attributes
from shared.search_attributes import register_search_attributes
from starter.runs import list_runs
from tests.conftest import task_of
from tests.killed.oracle import Evidence, wrong
from tests.killed.server import Child, Sandbox, Server
from tests.killed.workers import Worker
from tests.proxy import Way, way_to
from tests.watch.processes import QUIET, Setting, setting
from tests.workflows.harness import Handle

QUEUE = "killed"
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
EVERYBODY = "audit"
"""The sink that hears of every tenant."""
DOWN = "pager"
"""The sink that hears of one tenant, `DOWN_TENANT`, and may be down."""
DOWN_TENANT = "sink"
_HTTP = "http://"
_SERVICES = ("plugins", "capacity", "notifications", "sinks")
_SINKS = f"""
sinks:
  - {{name: {EVERYBODY}, url: "URL/events/{EVERYBODY}", secret_env: SINKS_SECRET}}
  - {{name: {DOWN}, url: "URL/events/{DOWN}", secret_env: SINKS_SECRET, tenants: [{DOWN_TENANT}]}}
"""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the sandbox saw, of all tenants."""

    deliveries: list[Delivery]
    reserved: dict[str, Reservation]
    told: list[Notification]
    events: dict[str, list[dict[str, JsonValue]]]
    lines: list[dict[str, Any]]


@dataclass(slots=True)
class Stack:
    """Everything that runs, what was started on it, and what the outside wrote down.

    `ways`: those on which workers reach Temporal and each service, by name, if they were wanted.
    """

    folder: Path
    place: Setting
    server: Server
    client: Client
    outside: Sandbox
    sandbox: SandboxClient
    environment: dict[str, str]
    ways: dict[str, Way]
    tasks: dict[str, Task] = field(default_factory=dict)
    due: dict[str, set[str]] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)

    def start_worker(self, **environment: str) -> Worker:
        """One more worker process."""
        name = f"worker-{len(self.workers)}"
        self.workers.append(Worker(self.folder, name, self.environment | environment))
        return self.workers[-1]

    def alive(self) -> list[Worker]:
        """The workers that have not ended, and were not asked to."""
        return [w for w in self.workers if w.process.poll() is None and not w.leaving]

    async def staffed(self, count: int) -> list[Worker]:
        """As many workers as that, ready: more are started, and superfluous ones end."""
        alive = self.alive()
        for worker in alive[count:]:
            worker.terminate()
        alive = alive[:count] + [self.start_worker() for _ in range(count - len(alive))]
        for worker in alive:
            await worker.ready()
        return alive

    def task(self, tenant: str, name: str, plugin: str, **fields: Any) -> Task:
        """A task with short deadlines and patience; `fields` as a whole task has them."""
        said = {
            "tenant_id": tenant,
            "task_id": name,
            "plugin_id": plugin,
            "overlap": "allow",
            "timeout": "60s",
            "heartbeat_timeout": "4s",
            "retry": {
                "max_attempts": 12,
                "initial_interval": "200ms",
                "backoff": 1,
                "max_interval": "1s",
                "non_retryable": [],
            },
        }
        task = Task.model_validate(task_of().model_dump(mode="json") | said | fields)
        self.tasks[f"{tenant}/{name}"] = task
        return task

    async def go(self, task: Task, key: str = "1") -> Handle:
        """Start a run of a task as its schedule would; it is due from now on."""
        run_id = manual_run_id(task.tenant_id, task.task_id, key)
        self.due.setdefault(task.tenant_id, set()).add(run_id)
        handle = await self.client.start_workflow(
            TASK_RUN,
            TaskRunInput(task=task, short=is_short(task)),
            id=run_id,
            task_queue=QUEUE,
            search_attributes=run_attributes(task, TriggerKind.MANUAL),
            result_type=TaskRunResult,
        )
        return handle  # noqa: RET504 - the SDK does not type a workflow that is named by string

    async def over(self, *tenants: str, within: float = 60.0) -> dict[str, list[str]]:
        """What is wrong by tenant, as soon as nothing is; after so many seconds whatever is."""
        end = time.monotonic() + within
        while True:
            late = time.monotonic() > end
            if late or not await self._under_way(tenants):
                outside = await self._outside()
                found = {tenant: await self._wrong(tenant, outside) for tenant in tenants}
                if late or not any(found.values()):
                    return found
            await asyncio.sleep(0.5)

    async def evidence(self, tenant: str) -> Evidence:
        """All that there is to know of a tenant."""
        return await self._evidence(tenant, await self._outside())

    async def _under_way(self, tenants: Iterable[str]) -> bool:
        names = ", ".join(f"'{tenant}'" for tenant in tenants)
        running = f"WorkflowType = '{TASK_RUN}' AND ExecutionStatus = 'Running'"
        query = f"{running} AND TenantId IN ({names})"
        return (await self.client.count_workflows(query)).count > 0

    async def _outside(self) -> Outside:
        return Outside(
            deliveries=await self.sandbox.deliveries(),
            reserved=(await self.sandbox.capacity()).reserved,
            told=(await self.sandbox.notifications()).notifications,
            events={name: (await self.sandbox.sink(name)).events for name in (EVERYBODY, DOWN)},
            lines=self.lines(),
        )

    async def _wrong(self, tenant: str, outside: Outside) -> list[str]:
        try:
            return wrong(await self._evidence(tenant, outside))
        except RPCError as error:
            return [f"{tenant} cannot be judged: {error}"]

    async def _evidence(self, tenant: str, outside: Outside) -> Evidence:
        runs = await list_runs(self.client, tenant_id=tenant, limit=5000)
        own = {name: task for name, task in self.tasks.items() if task.tenant_id == tenant}
        groups = {name: f"{tenant}:{task.mutex[0]}" for name, task in own.items() if task.mutex}
        events = outside.events[DOWN if tenant == DOWN_TENANT else EVERYBODY]
        # A query needs a worker: it is made when Temporal's lists say that all is over.
        over = bool(runs) and all(run.ended for run in runs)
        view = await view_governor(self.client, tenant) if groups and over else None
        return Evidence(
            due=frozenset(self.due.get(tenant, ())),
            runs=runs,
            deliveries=[found for found in outside.deliveries if found.tenant_id == tenant],
            groups=groups,
            later={
                line["key"]: datetime.fromisoformat(line["at"])
                for line in outside.lines
                if line["event"] == "effect"
            },
            reserved=frozenset(
                key for key, held in outside.reserved.items() if held.tenant_id == tenant
            ),
            notifications=[found for found in outside.told if found.tenant_id == tenant],
            lost=_lost(outside.lines),
            events=[event for event in events if event["source"] == f"/taskflow/{tenant}"],
            orders=frozenset(
                name for name, task in own.items() if task.work_order in ("on_failure", "both")
            ),
            books={tenant: view} if view else {},
        )

    def lines(self) -> list[dict[str, Any]]:
        """The sandbox's own log."""
        text = self.outside.journal.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def logged(self, action: str) -> list[dict[str, Any]]:
        """The lines of all workers about an action."""
        lines = [line for worker in self.workers for line in worker.log.read_text().splitlines()]
        return [json.loads(line) for line in lines if f'"action": "{action}"' in line]


def _lost(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How often a breach was told, and the answer was none."""
    told = (line for line in lines if line["event"] == "notification")
    return Counter(line["breach_id"] for line in told if line["outcome"] != "ok")


@asynccontextmanager
async def stack_in(folder: Path, *, ways: bool = False) -> AsyncIterator[Stack]:
    """Server and sandbox, and no worker yet; every process is gone at the end.

    `ways`: workers reach each of them on a way of its own, which a test may close.
    """
    async with AsyncExitStack() as ending:
        child = Child(folder / "sandbox.log", ending)
        outside = Sandbox.on_a_free_port(child, folder / "sandbox.jsonl")
        await outside.start()
        place = setting(folder, _HTTP + outside.address, QUEUE)
        server = Server(place, Child(folder / "server.log", ending))
        client = await server.start()
        targets = {"temporal": place.address} | dict.fromkeys(_SERVICES, outside.address)
        opened = {
            name: await ending.enter_async_context(way_to(target))
            for name, target in targets.items()
            if ways
        }
        at = targets | {name: way.address for name, way in opened.items()}
        sinks = folder / "sinks.yaml"
        sinks.write_text(_SINKS.replace("URL", _HTTP + at["sinks"]))
        environment = place.environment | {
            "TEMPORAL_ADDRESS": at["temporal"],
            "TASKFLOW_PLUGIN_URL": _HTTP + at["plugins"],
            "TASKFLOW_CAPACITY_URL": _HTTP + at["capacity"],
            "TASKFLOW_NOTIFICATIONS_URL": _HTTP + at["notifications"],
            "TASKFLOW_NOTIFICATIONS_TIMEOUT": "60",
            "TASKFLOW_SINKS_FILE": str(sinks),
            "SINKS_SECRET": SECRET,
            **QUIET,
            "TASKFLOW_LOG_FORMAT": "json",
        }
        await register_search_attributes(client)
        sandbox = await ending.enter_async_context(SandboxClient(_HTTP + outside.address))
        for name in (EVERYBODY, DOWN):
            await sandbox.configure_sink(name, secret=SECRET)
        stack = Stack(folder, place, server, client, outside, sandbox, environment, opened)
        try:
            yield stack
        finally:
            for worker in stack.workers:
                worker.kill()
