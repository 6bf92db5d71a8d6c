"""What the command line says, the API says: one walk through both doors, document by document."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from temporalio.client import Client

from domain.policy import Policy
from starter.api.models import (
    CancelRequested,
    Deleted,
    ForecastDocument,
    Paused,
    RegisteredTasks,
    Rehearsed,
    Resumed,
    Run,
    RunList,
    SlaReportDocument,
    TaskDocument,
    TaskList,
    Triggered,
    WhyDocument,
)
from tests.api.harness import door
from tests.api.operator import TASK, Operator, run_path
from tests.starter.harness import Cli, eventually_async
from tests.starter.limits import Limits

OTHER = TASK | {"task_id": "sync", "mutex": ["warehouse"]}
COLLIDING = TASK | {"mutex": ["warehouse"], "expected_duration": "4m"}


@dataclass(frozen=True)
class Doors:
    """The same tenant by both."""

    cli: Cli
    http: Operator

    async def ask(self, *arguments: str, stdin: Any = None) -> Any:
        """The document of a command. Whoever works in this process goes on meanwhile."""
        text = "" if stdin is None else json.dumps(stdin)
        return await asyncio.to_thread(self.cli.json, *arguments, stdin=text)

    async def both(
        self,
        arguments: tuple[str, ...],
        request: tuple[str, str],
        body: Any = None,
        *,
        model: type[BaseModel],
        lacks: set[str] = frozenset(),  # type: ignore[assignment]
    ) -> Any:
        """The one document of both doors; `lacks`: what only the API has."""
        stdin = body if "-" in arguments else None
        said = await self.ask(*arguments, stdin=stdin)
        told = await self.http.done(*request, body, model=model)
        assert said == {name: value for name, value in told.items() if name not in lacks}
        return said


@pytest.fixture(scope="module")
async def limits(temporal: Client, policy: Policy) -> AsyncIterator[Limits]:
    """Workers that keep registries and limits; no run is ever taken up."""
    made = Limits(temporal, policy)
    async with made.working():
        yield made


@pytest.fixture
async def doors(
    temporal: Client, limits: Limits, tenant: str, tmp_path: Path
) -> AsyncIterator[Doors]:
    """A tenant with a mutex group, and no tasks."""
    environment = {
        "TEMPORAL_ADDRESS": temporal.service_client.config.target_host,
        "TASKFLOW_TASK_QUEUE": limits.queue,
        "TASKFLOW_TENANT": tenant,
    }
    async with door(temporal, tmp_path, task_queue=limits.queue) as opened:
        admin = Operator(opened, tenant, opened.caller(None))
        declared = {"tenants": [{"tenant_id": tenant, "mutex_groups": {"warehouse": 1}}]}
        path = f"/tasks/register?tenant_id={tenant}"
        await admin.done("POST", path, declared, model=RegisteredTasks)
        yield Doors(Cli(tmp_path, environment), Operator.of(opened, tenant))


async def test_registering_is_the_same_by_both(doors: Doors) -> None:
    """What is new, what is the same, and what has changed, as the dry run foretold."""
    dryrun = ("POST", "/tasks/dryrun")
    foretold = await doors.both(("dryrun", "-"), dryrun, TASK, model=Rehearsed)
    await doors.ask("register", "-", stdin=TASK)
    register = ("POST", "/tasks/register?conflicts=true")
    same = await doors.both(("register", "-"), register, TASK, model=RegisteredTasks)
    created = await doors.http.done(*register, OTHER, model=RegisteredTasks)
    as_said = await doors.ask("register", "-", stdin=OTHER | {"task_id": "sync-2"})
    updated = await doors.ask("register", "-", stdin=OTHER | {"priority": 1})
    back = await doors.http.done(*register, OTHER, model=RegisteredTasks)

    assert foretold["tasks"][0]["change"] == "create"
    assert same["unchanged"] == 1
    assert created["tasks"][0]["result"] == "created"
    assert created.keys() == as_said.keys()
    assert created["created"][0]["next_times"] == as_said["created"][0]["next_times"]
    assert updated["updated"][0]["changes"] == ["priority: 3 -> 1"]
    assert back["updated"][0]["changes"] == ["priority: 1 -> 3"]
    assert back["tasks"][0]["etag"] == created["tasks"][0]["etag"] != updated["tasks"][0]["etag"]


async def test_looking_is_the_same_by_both(doors: Doors) -> None:
    """Tasks, runs, and the reasons for one under way and one to come."""
    body = {"tasks": [COLLIDING, OTHER]}
    await doors.http.done("POST", "/tasks/register", body, model=RegisteredTasks)
    run_id = (await doors.ask("trigger", "report"))["run_id"]

    async def listed() -> bool:
        found = await doors.http.call("GET", "/tasks/report/runs")
        tasks = (await doors.http.call("GET", "/tasks")).json()["tasks"]
        statuses = {task["last_status"] for task in tasks}
        return len(found.json()["runs"]) == 1 and statuses == {"PENDING", None}

    await eventually_async(listed)
    cursor = {"next_cursor"}
    tasks = await doors.ask("list")
    paged = await doors.http.done("GET", "/tasks", model=TaskList)
    shown = await doors.both(("show", "report"), ("GET", "/tasks/report"), model=TaskDocument)
    runs = await doors.both(
        ("runs", "report"), ("GET", "/tasks/report/runs"), model=RunList, lacks=cursor
    )
    filters = ("--status", "PENDING", "--since", "1h")
    filtered = await doors.both(
        ("runs", "report", *filters),
        ("GET", "/tasks/report/runs?status=PENDING&since=1h"),
        model=RunList,
        lacks=cursor,
    )
    run = await doors.http.done("GET", run_path(run_id), model=Run)
    why = await doors.both(("why", "report"), ("GET", "/tasks/report/why"), model=WhyDocument)
    at = shown["next_times"][0]
    ahead = await doors.both(
        ("why", "report", "--at", at), ("GET", f"/tasks/report/why?at={at}"), model=WhyDocument
    )

    assert tasks["tasks"] == sorted(paged["tasks"], key=lambda task: str(task["task_id"]))
    assert [task["task_id"] for task in tasks["tasks"]] == ["report", "sync"]
    assert runs["runs"] == filtered["runs"] == shown["runs"] == [run]
    assert (why["run_id"], why["verdict"]) == (run_id, "pending")
    assert ahead["verdict"] in {"will_run", "will_wait"}


async def test_what_is_ahead_and_how_it_went_are_the_same_by_both(doors: Doors) -> None:
    """But for the moment at which each was asked."""
    body = {"tasks": [COLLIDING, OTHER]}
    await doors.http.done("POST", "/tasks/register", body, model=RegisteredTasks)
    run_id = (await doors.http.done("POST", "/tasks/sync/trigger", {}, model=Triggered))["run_id"]
    forecast = await doors.ask("forecast", "--hours", "48")

    async def ended() -> bool:
        found = (await doors.http.call("GET", "/sla-report?since=1h")).json()
        return len(found["rows"]) == 1

    await doors.http.done("POST", f"{run_path(run_id)}/cancel", model=CancelRequested)
    await eventually_async(ended)
    report = await doors.ask("sla-report", "--since", "1h")
    foreseen = await doors.http.done("GET", "/forecast?hours=48", model=ForecastDocument)
    reported = await doors.http.done("GET", "/sla-report?since=1h", model=SlaReportDocument)
    table = await doors.http.call("GET", "/sla-report?since=1h&format=csv")
    page = await doors.http.call("GET", "/sla-report?since=1h", Accept="text/html")

    assert {**forecast, "from": 0, "to": 0} == {**foreseen, "from": 0, "to": 0}
    assert (forecast["tasks"], forecast["conflicts_total"]) == (2, 2)
    assert {**report, "since": 0, "until": 0} == {**reported, "since": 0, "until": 0}
    assert report["rows"][0]["task_id"] == "sync"
    assert table.headers["content-type"] == "text/csv; header=present; charset=utf-8"
    assert table.text.split("\r\n")[0].split(",")[:3] == ["tenant_id", "task_id", "due"]
    assert table.text.split("\r\n")[1].split(",")[1] == "sync"
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "/sync</th>" in page.text


async def test_operating_is_the_same_by_both(doors: Doors) -> None:
    """Pause, resume, trigger, cancel and delete: each done by the one is seen by the other."""
    await doors.http.done("POST", "/tasks/register", TASK, model=RegisteredTasks)
    await doors.ask("register", "-", stdin=OTHER)
    report, sync = "/tasks/report", "/tasks/sync"

    started = await doors.ask("trigger", "report", "--key", "one", "--payload", "1")
    again = await doors.http.done(
        "POST", f"{report}/trigger", {"payload": 1}, model=Triggered, Idempotency_Key="one"
    )
    paused = await doors.ask("pause", "report", "--reason", "rest", "--running")
    note = (await doors.http.call("GET", report)).json()["note"]
    told = await doors.http.done(
        "PUT", f"{report}/pause", {"reason": "more rest", "running": True}, model=Paused
    )
    renewed = (await doors.ask("show", "report"))["note"]
    resumed = await doors.http.done("PUT", f"{report}/resume", {"running": True}, model=Resumed)
    anew = await doors.ask("resume", "report", "--running")
    run = await doors.http.done("GET", run_path(started["run_id"]), model=Run)
    cancelled = await doors.ask("cancel", started["run_id"])
    twice = await doors.http.done(
        "POST", f"{run_path(started['run_id'])}/cancel", model=CancelRequested
    )
    deleted = await doors.ask("delete", "report")
    gone = await doors.http.done("DELETE", sync, model=Deleted)

    assert started == again
    assert paused == told
    assert paused["runs"] == [started["run_id"]]
    assert "rest" in note
    assert renewed.endswith("more rest")
    assert resumed == anew
    assert run["run_id"] == started["run_id"]
    assert cancelled == twice
    assert {**deleted, "task_id": "sync"} == gone
    assert (await doors.http.call("GET", report)).status_code == 404
    assert doors.cli.run("show", "sync").code == 1
