"""Operating a registered task: pause, resume, trigger, delete."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import Field, JsonValue
from temporalio.client import Client

from domain.task import Model
from starter import control, holding
from starter.api.access import Access, Operator, Writer
from starter.api.bodies import JSON, SMALL_BYTES, as_model, read_json
from starter.api.examples import documented
from starter.api.keyed import IfMatch, KeyedRequest, Reply
from starter.api.models import Deleted, Paused, Resumed, Triggered
from starter.api.openapi import ALWAYS, BODY, body, problems
from starter.api.routes.ids import TaskId
from starter.api.schemas import inlined
from starter.conditions import condition_of, etag_of, tag_now

router = APIRouter(prefix="/internal/tasks", tags=["tasks"])


class PauseBody(Model):
    """Why, and whether the runs that are open are held too."""

    reason: Annotated[str, Field(max_length=holding.MOST_REASON)] = ""
    running: Annotated[bool, Field(strict=True)] = False


class ResumeBody(Model):
    """Why, and whether the runs that are held go on too."""

    reason: Annotated[str, Field(max_length=holding.MOST_REASON)] = ""
    running: Annotated[bool, Field(strict=True)] = False


class TriggerBody(Model):
    """`payload`: any value; the plugin gets it with its call."""

    payload: JsonValue = None


@router.put(
    "/{task_id}/pause",
    operation_id="pauseTask",
    summary="Stop a task's fires until it is resumed",
    response_model=None,
    responses=documented(Paused) | problems(*ALWAYS, *BODY, 409, 412),
    openapi_extra=body(
        (JSON, inlined(PauseBody), {"reason": "until the fix", "running": True}), required=False
    ),
)
async def pause(
    request: Request,
    access: Operator,
    task_id: TaskId,
    keyed: KeyedRequest,
    if_match: IfMatch = None,
) -> Response:
    """Pausing twice renews the note. Runs under way go on, unless `running` holds them too."""
    data = (await read_json(request, SMALL_BYTES, optional=True)).data
    asked = as_model(PauseBody, data)

    async def work(client: Client) -> Reply:
        key, who = (access.tenant_id, task_id), access.caller.name
        etag = await _checked(client, access, task_id, if_match)
        await control.pause(client, *key, who=who, reason=asked.reason)
        runs: list[str] = []
        if asked.running:
            runs = await holding.pause_runs(client, *key, who=who, reason=asked.reason)
        return Reply({**_ids(access, task_id), "paused": True, "runs": runs}, headers=etag)

    return await keyed.answer(access, data, work)


@router.put(
    "/{task_id}/resume",
    operation_id="resumeTask",
    summary="Let a paused task fire again",
    response_model=None,
    responses=documented(Resumed) | problems(*ALWAYS, *BODY, 409, 412),
    openapi_extra=body((JSON, inlined(ResumeBody), {"running": True}), required=False),
)
async def resume(
    request: Request,
    access: Operator,
    task_id: TaskId,
    keyed: KeyedRequest,
    if_match: IfMatch = None,
) -> Response:
    """The fires of the pause are not caught up. Runs that are held stay so without `running`."""
    data = (await read_json(request, SMALL_BYTES, optional=True)).data
    asked = as_model(ResumeBody, data)

    async def work(client: Client) -> Reply:
        key, who = (access.tenant_id, task_id), access.caller.name
        etag = await _checked(client, access, task_id, if_match)
        recreated = await control.resume(client, *key, who=who, reason=asked.reason)
        runs = await holding.resume_runs(client, *key) if asked.running else []
        done = {"paused": False, "recreated": recreated, "runs": runs}
        return Reply({**_ids(access, task_id), **done}, headers=etag)

    return await keyed.answer(access, data, work)


@router.post(
    "/{task_id}/trigger",
    operation_id="triggerTask",
    summary="Start a run now",
    status_code=202,
    response_model=None,
    responses=documented(Triggered, 202, "The run is started") | problems(*ALWAYS, *BODY, 409),
    openapi_extra=body((JSON, inlined(TriggerBody), {"payload": {"day": 3}}), required=False),
)
async def trigger(
    request: Request, access: Operator, task_id: TaskId, keyed: KeyedRequest
) -> Response:
    """Beside the task's own fires, and of a paused task too.

    The `Idempotency-Key` is the run's key as well: under one key there is one run of the task.
    """
    data = (await read_json(request, SMALL_BYTES, optional=True)).data
    asked = as_model(TriggerBody, data)

    async def work(client: Client) -> Reply:
        run_id = await control.trigger(
            client, access.tenant_id, task_id, payload=asked.payload, key=keyed.key
        )
        access.audit.about(run_id=run_id)
        location = {"Location": f"/internal/runs/{quote(run_id)}"}
        return Reply({"run_id": run_id}, 202, location)

    return await keyed.answer(access, data, work)


@router.delete(
    "/{task_id}",
    operation_id="deleteTask",
    summary="Unregister a task",
    response_model=None,
    responses=documented(Deleted) | problems(*ALWAYS, 409, 412),
)
async def delete(
    access: Writer, task_id: TaskId, keyed: KeyedRequest, if_match: IfMatch = None
) -> Response:
    """Its runs stay, and those under way go on."""

    async def work(client: Client) -> Reply:
        await _checked(client, access, task_id, if_match, deleted=True)
        await control.delete(client, access.tenant_id, task_id)
        return Reply({**_ids(access, task_id), "deleted": True})

    return await keyed.answer(access, None, work)


async def _checked(
    client: Client, access: Access, task_id: str, if_match: str | None, *, deleted: bool = False
) -> dict[str, str]:
    """The header with the task's tag, once the condition holds. Errors: `PreconditionFailed`."""
    condition = condition_of(if_match)
    tag = await tag_now(client, (access.tenant_id, task_id))
    if condition:
        condition.check(tag)
    access.audit.changed(tag, None if deleted else tag)
    return etag_of(tag)


def _ids(access: Access, task_id: str) -> dict[str, Any]:
    return {"tenant_id": access.tenant_id, "task_id": task_id}
