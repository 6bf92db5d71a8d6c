"""Temporal and the API killed and frozen while requests come in (fault rows 10 and 11)."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from domain.ids import event_run_id, parse_schedule_id, registry_id, schedule_id
from domain.policy import Policy
from domain.registry import SHARDS
from shared.calls import is_missing
from shared.registry import read_shard
from starter.callers import TENANT_SCOPES
from tests.api.operator import TASK
from tests.api.outside import Outside, outside
from tests.api.test_problems import problem
from tests.starter.harness import eventually_async
from tests.starter.limits import Limits
from tests.watch.processes import Setting, process, setting

DEADLINE = 1.0
BOUND = 8.0
"""Seconds: the deadline, the pulses that notice that Temporal has gone, and a slow machine."""
REGISTER = "/internal/tasks/register"
HEARING = TASK | {"triggers": [{"cron": "0 2 * * *"}, {"event": "order.created"}]}
SECOND = TASK | {"task_id": "second"}
ORDER = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created"}
TASKS = ["report", "second"]
MANY = 200


@dataclass(slots=True)
class Stage:
    """Temporal with its database in a file, who keeps the registries, and the API."""

    place: Setting
    folder: Path
    client: Client
    environment: dict[str, str]
    server: "subprocess.Popen[bytes]"
    stack: AsyncExitStack
    api: Outside

    async def again(self) -> None:
        """Start the server that was killed."""
        command = process(self.folder / "server.log", *self.place.server)
        self.server = self.stack.enter_context(command)
        await self.place.client()

    async def schedules(self, tenant: str) -> set[str]:
        """The tasks that have one."""
        listed = await self.client.list_schedules()
        keys = [parse_schedule_id(entry.id) async for entry in listed]
        return {key[1] for key in keys if key and key[0] == tenant}

    async def remembered(self, tenant: str) -> set[str]:
        """The tasks that should exist, as the registries say."""
        shards = [
            await read_shard(self.client, registry_id(tenant, shard)) for shard in range(SHARDS)
        ]
        return {task_id for shard in shards for task_id in shard.entries}

    async def exists(self, workflow_id: str) -> bool:
        """Whether there is such a run."""
        try:
            await self.client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if is_missing(error):
                return False
            raise
        return True


@pytest.fixture(scope="module")
async def stage(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A server that may be killed."""
    folder = tmp_path_factory.mktemp("faults")
    place = setting(folder, "http://127.0.0.1:9", "faults")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(process(folder / "server.log", *place.server))
        client = await place.client()
        limits = Limits(client, policy)
        environment = place.environment | {"TASKFLOW_TASK_QUEUE": limits.queue}
        async with limits.working():
            with outside(folder, **environment, TASKFLOW_TEMPORAL_TIMEOUT=f"{DEADLINE:g}") as api:
                yield Stage(place, folder, client, environment, server, stack, api)


@pytest.mark.fault(10)
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
async def test_row_10_temporal_is_away_while_requests_come(
    stage: Stage, tenant: str, number: signal.Signals
) -> None:
    """503 within a bound that says when to come again; the same again does all of it, once."""
    headers = stage.api.caller(tenant, *TENANT_SCOPES)
    async with httpx.AsyncClient(base_url=stage.api.url, headers=headers, timeout=60) as http:
        await _until(http, ("POST", REGISTER, HEARING))
        await eventually_async(partial(_is_heard, http), within=30)
        requests = [
            ("POST", "/internal/events", ORDER),  # first: a task that is paused starts no run
            ("POST", REGISTER, SECOND),
            ("PUT", "/internal/tasks/report/pause", {"reason": "flood"}),
        ]
        os.kill(stage.server.pid, number)
        for _ in range(2):  # the first finds it away, the second knows
            await asyncio.gather(*(_refused(http, *request) for request in requests))
        if number is signal.SIGKILL:
            stage.server.wait()
            await stage.again()
            await _nothing_was_done(stage, tenant)
        else:
            os.kill(stage.server.pid, signal.SIGCONT)
        heard, _, _ = [await _until(http, request) for request in requests]
        again = await _until(http, requests[0])
        first, second = [(await http.get(f"/internal/tasks/{name}")).json() for name in TASKS]
    assert (first["paused"], second["paused"]) == (True, False)
    assert "flood" in first["note"]
    assert await stage.remembered(tenant) == set(TASKS)
    run_id = event_run_id(tenant, "report", ORDER["source"], ORDER["id"])
    assert heard.json() == again.json()
    assert heard.json()["events"][0]["runs"] == [{"task_id": "report", "run_id": run_id}]
    assert await stage.exists(run_id)
    assert stage.api.is_well()


async def _is_heard(http: httpx.AsyncClient) -> bool:
    """Whether events run the task by now."""
    answer = await _until(http, ("POST", "/internal/events", ORDER | {"id": f"{uuid4()}"}))
    return bool(answer.json()["events"][0]["runs"])


async def _refused(http: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    began = time.monotonic()
    answer = await http.request(method, path, json=body)
    assert time.monotonic() - began < BOUND
    problem(answer, 503, "TEMPORAL_UNREACHABLE")
    assert int(answer.headers["retry-after"]) > 0


async def _until(http: httpx.AsyncClient, request: tuple[str, str, Any]) -> httpx.Response:
    """The answer, once it is not 503, which says when to come again."""
    method, path, body = request
    end = time.monotonic() + 30
    while True:
        answer = await http.request(method, path, json=body)
        if answer.status_code != 503:
            assert answer.is_success, answer.text
            return answer
        assert time.monotonic() < end, answer.text
        await asyncio.sleep(0.3)


async def _nothing_was_done(stage: Stage, tenant: str) -> None:
    """A server that was dead has heard of nothing; only a run may be started late, and whole."""
    described = await stage.client.get_schedule_handle(schedule_id(tenant, "report")).describe()
    assert not described.schedule.state.paused
    assert await stage.remembered(tenant) == await stage.schedules(tenant) == {"report"}


@pytest.mark.fault(11)
@pytest.mark.soak
async def test_row_11_the_api_is_killed_while_it_registers_many(stage: Stage, tenant: str) -> None:
    """The same request to another process ends in exactly the wanted state, and changes no more."""
    body = {"tasks": [TASK | {"task_id": f"task-{number}"} for number in range(MANY)]}
    wanted = {task["task_id"] for task in body["tasks"]}
    patient = stage.environment | {"TASKFLOW_TEMPORAL_TIMEOUT": "30"}
    with outside(stage.folder, **patient) as api:
        headers = api.caller(tenant, *TENANT_SCOPES)
        async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=60) as http:
            asking = asyncio.create_task(http.post(REGISTER, json=body))

            async def some() -> bool:
                assert not asking.done(), "it was too quick to be killed"
                return len(await stage.schedules(tenant)) > MANY // 10

            await eventually_async(some, within=40)
            os.kill(api.process.pid, signal.SIGKILL)
            with pytest.raises(httpx.TransportError):
                await asking
    with outside(stage.folder, **patient) as api:
        async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=60) as http:
            done, once_more = [(await http.post(REGISTER, json=body)).json() for _ in range(2)]
            listed = (await http.get(f"/internal/tasks?limit={MANY * 2}")).json()["tasks"]
        assert api.is_well()
    results = [task["result"] for task in done["tasks"]]
    assert {*results} == {"created", "unchanged"}
    assert (once_more["unchanged"], once_more["created"], once_more["updated"]) == (MANY, [], [])
    assert done["tasks"] == [
        task | {"result": result} for task, result in zip(once_more["tasks"], results, strict=True)
    ]
    assert {task["task_id"] for task in listed} == await stage.remembered(tenant) == wanted
    assert len(listed) == MANY
