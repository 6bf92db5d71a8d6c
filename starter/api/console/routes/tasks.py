"""Tasks: a list, one in full with why, its runs, and what is done to it."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Annotated, Literal

import yaml
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from temporalio.client import Client

from domain.ids import NAME
from domain.problems import InvalidInput, Problem, shown
from domain.states import RunState
from starter import control, holding
from starter.api.bodies import as_model, strict_json
from starter.api.console import PREFIX
from starter.api.console.acts import act, reason_of
from starter.api.console.explained import Explained, told, zone_in
from starter.api.console.render import page
from starter.api.console.visit import Operating, Reading, Visit
from starter.api.keyed import at_length
from starter.api.routes.ids import TaskId
from starter.api.routes.operate import PauseBody, ResumeBody, TriggerBody
from starter.conditions import tag_now
from starter.pages import page_of_runs, page_of_tasks
from starter.tasks import TaskDetail, show_task
from starter.when import since as since_when
from starter.why import explain, explain_run

router = APIRouter(prefix=f"{PREFIX}/tasks")

PAGE, MOST = 50, 500
_KEY = re.compile(r"[0-9a-f]{16}", re.ASCII)

Limit = Annotated[int, Query(ge=1, le=MOST)]
Cursor = Annotated[str | None, Query(max_length=2000)]
State = Literal["", "paused", "active"]


@router.get("")
async def list_tasks(
    request: Request,
    visit: Reading,
    *,
    plugin_id: str = "",
    state: State = "",
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """The newest registered first; an empty filter is none."""
    if plugin_id and not re.fullmatch(NAME, plugin_id):
        raise InvalidInput([Problem(("plugin_id",), f"{shown(plugin_id)} is no plugin's name")])
    tenant_id = visit.tenant_id
    async with visit.context.temporal.client() as client:
        found = await page_of_tasks(
            client,
            tenant_id,
            plugin_id=plugin_id or None,
            paused={"paused": True, "active": False}.get(state),
            limit=limit,
            cursor=cursor,
        )
    asked = {"plugin_id": plugin_id or None, "state": state or None, "limit": _other(limit)}
    names = {
        "tasks": found,
        "plugin_id": plugin_id,
        "state": state,
        "cursor": cursor,
        "asked": asked,
    }
    return page(request, "tasks.html", names, visit=visit)


@router.get("/{task_id}")
async def show(request: Request, visit: Reading, task_id: TaskId) -> Response:
    """What it says, what it does, and why its last and its next fire are as they are."""
    now, queue = datetime.now(UTC), visit.context.settings.task_queue

    async def work(client: Client) -> tuple[TaskDetail, Explained, Explained]:
        key = (visit.tenant_id, task_id)
        detail = await show_task(client, *key)

        last = detail.runs[0].run_id if detail.runs else None
        at = next((at for at in detail.next_times if at > now), None)
        # Without a time it is asked about the run under way, and that is the last one.
        ahead = at is not None or all(run.ended for run in detail.runs)
        of_last = explain_run(client, key[0], last, now=now, task_queue=queue) if last else None
        of_next = explain(client, *key, at=at, now=now, task_queue=queue) if ahead else None
        return detail, *await asyncio.gather(told(of_last), told(of_next))

    detail, last, coming = await at_length(visit.access, work)
    names = {
        "detail": detail,
        "task": detail.task,
        "zone_of": lambda _: detail.zone,
        "last": last,
        "coming": coming,
        "definition": yaml.safe_dump(
            detail.task.model_dump(mode="json"), sort_keys=False, allow_unicode=True
        ),
    }
    return page(request, "task.html", names, visit=visit)


@router.get("/{task_id}/runs")
async def list_runs(
    request: Request,
    visit: Reading,
    task_id: TaskId,
    *,
    status: str = "",
    since: Annotated[str, Query(max_length=100)] = "",
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """The latest first."""
    if status and status not in set(RunState):
        raise InvalidInput([Problem(("status",), f"{shown(status)} is no state of a run")])
    earliest = since_when(since, datetime.now(UTC)) if since else None
    async with visit.context.temporal.client() as client:
        found = await page_of_runs(
            client,
            visit.tenant_id,
            task_id,
            status=RunState(status) if status else None,
            since=earliest,
            limit=limit,
            cursor=cursor,
        )
        zone = await zone_in(client, visit.tenant_id, task_id)
    names = {
        "task_id": task_id,
        "runs": found,
        "zone_of": lambda _: zone,
        "status": status,
        "since": since,
        "asked": {"status": status or None, "since": since or None, "limit": _other(limit)},
        "cursor": cursor,
        "states": list(RunState),
    }
    return page(request, "runs.html", names, visit=visit)


@router.post("/{task_id}/pause")
async def pause(visit: Operating, task_id: TaskId) -> Response:
    """No more fires; with `running` the open runs are held too."""
    running = visit.form.get("running") == "yes"
    asked = as_model(PauseBody, {"reason": reason_of(visit), "running": running})

    async def work(client: Client) -> None:
        key, who = (visit.tenant_id, task_id), visit.caller.name
        await _tag(client, visit, task_id)
        await control.pause(client, *key, who=who, reason=asked.reason)
        if asked.running:
            await holding.pause_runs(client, *key, who=who, reason=asked.reason)

    await at_length(visit.access, work)
    return act(visit, "paused-running" if running else "paused", "tasks", task_id)


@router.post("/{task_id}/resume")
async def resume(visit: Operating, task_id: TaskId) -> Response:
    """It fires again; with `running` the runs that are held go on too."""
    running = visit.form.get("running") == "yes"
    asked = as_model(ResumeBody, {"reason": reason_of(visit), "running": running})

    async def work(client: Client) -> bool:
        key, who = (visit.tenant_id, task_id), visit.caller.name
        await _tag(client, visit, task_id)
        recreated = await control.resume(client, *key, who=who, reason=asked.reason)
        if asked.running:
            await holding.resume_runs(client, *key)
        return recreated

    recreated = await at_length(visit.access, work)
    return act(visit, "recreated" if recreated else "resumed", "tasks", task_id)


@router.post("/{task_id}/trigger")
async def trigger(visit: Operating, task_id: TaskId) -> Response:
    """A run now. The form has a key, so that one that is sent twice starts one run."""
    once, said = visit.form.get("once", ""), visit.form.get("payload", "").strip()
    key = f"console-{once}" if _KEY.fullmatch(once) else None
    payload = (await strict_json(said.encode())).data if said else None
    asked = as_model(TriggerBody, {"payload": payload})

    async def work(client: Client) -> str:
        return await control.trigger(
            client, visit.tenant_id, task_id, payload=asked.payload, key=key
        )

    run_id = await at_length(visit.access, work)
    visit.audit.about(run_id=run_id)
    return act(visit, "triggered", "runs", run_id)


def _other(limit: int) -> int | None:
    """A limit that is not the usual one."""
    return None if limit == PAGE else limit


async def _tag(client: Client, visit: Visit, task_id: str) -> None:
    """What the audit says of what the task was and is."""
    tag = await tag_now(client, (visit.tenant_id, task_id))
    visit.audit.changed(tag, tag)
