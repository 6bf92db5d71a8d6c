"""Registered tasks: registering, listing and showing them, their runs, and why these are so."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from temporalio.client import Client

from domain.ids import NAME
from domain.states import RunState
from starter.api.access import Access, Reader, Writer
from starter.api.bodies import JSON, REGISTRATION_BYTES, read_json
from starter.api.examples import documented
from starter.api.keyed import NO_STORE, IfMatch, KeyedRequest, Reply, at_length
from starter.api.models import (
    RegisteredTasks,
    Rehearsed,
    RunList,
    TaskDocument,
    TaskList,
    WhyDocument,
)
from starter.api.openapi import ALWAYS, BODY, body, problems
from starter.api.routes.ids import TaskId
from starter.api.schemas import REGISTRATION, REGISTRATION_SCHEMA
from starter.callers import Scope
from starter.conditions import condition_of, etag_of, tag_now
from starter.pages import MOST, page_of_runs, page_of_tasks
from starter.register import Change, Registered, read_body, register
from starter.rehearsal import rehearse
from starter.tasks import show_task
from starter.when import instant, since
from starter.why import explain

router = APIRouter(prefix="/internal/tasks", tags=["tasks"])

FEW, MANY = 50, MOST
MOST_REHEARSED = 24 * 31
"""Hours that a dry run looks ahead at most."""

Limit = Annotated[int, Query(ge=1, le=MANY, description="Most of one page")]
Cursor = Annotated[
    str | None,
    Query(max_length=2000, description="`next_cursor` of the page before; other parameters stay"),
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=1000)]
_BODY = body((JSON, REGISTRATION_SCHEMA, REGISTRATION))


@router.post(
    "/register",
    operation_id="registerTasks",
    summary="Register tasks, or change what is registered",
    response_model=None,
    responses=documented(RegisteredTasks, 200, "All was registered already, some otherwise")
    | documented(RegisteredTasks, 201, "Some of it is new")
    | problems(*ALWAYS, *BODY, 409, 412),
    openapi_extra=_BODY,
)
async def register_tasks(
    request: Request,
    access: Writer,
    keyed: KeyedRequest,
    *,
    conflicts: Annotated[
        bool, Query(description="Also tell which conflicts this brings; reads all of the tenant")
    ] = False,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The body is one task, or `tasks`, and for admins `tenants`: what a task file says.

    It is taken whole or refused whole. What is registered as it is said is left alone, and a task
    that is paused stays so. With one task, `If-None-Match: *` only creates, and `If-Match` only
    changes what has this tag.
    """
    condition = condition_of(if_match, if_none_match)
    document = await read_json(request, REGISTRATION_BYTES)
    policy = access.context.policy
    tasks = read_body(document, policy, access.caller, access.tenant_id)

    async def work(client: Client) -> Reply:
        queue = access.context.settings.task_queue
        done = await register(
            client, tasks, task_queue=queue, condition=condition, conflicts=conflicts
        )
        _tell(access, done)
        created = Change.CREATED in done.changes().values()
        headers = _headers(done) if tasks.alone else {}
        return Reply(done.as_json(), HTTPStatus.CREATED if created else HTTPStatus.OK, headers)

    return await keyed.answer(access, document.data, work)


@router.post(
    "/dryrun",
    operation_id="rehearseTasks",
    summary="What registering would do, and how the first fires would go",
    response_model=None,
    responses=documented(Rehearsed) | problems(*ALWAYS, *BODY),
    openapi_extra=_BODY,
)
async def rehearse_tasks(
    request: Request,
    access: Reader,
    hours: Annotated[float, Query(ge=0.1, le=MOST_REHEARSED, description="How far ahead")] = 24.0,
) -> Response:
    """Nothing is changed. The body is as for registering; `ok` says whether all would be well."""
    access.audit.scope = Scope.TASK_READ
    document = await read_json(request, REGISTRATION_BYTES)
    tasks = read_body(document, access.context.policy, access.caller, access.tenant_id)

    async def work(client: Client) -> Reply:
        now, settings = datetime.now(UTC), access.context.settings
        found = await rehearse(client, tasks.registration, settings, now=now, hours=hours)
        return Reply(found.as_json())

    with tasks.placing():
        return (await at_length(access, work)).response()


@router.get(
    "",
    operation_id="listTasks",
    summary="The tasks of the tenant",
    response_model=None,
    responses=documented(TaskList) | problems(*ALWAYS),
)
async def list_tasks(
    access: Reader,
    plugin_id: Annotated[
        str | None, Query(pattern=f"^{NAME}$", description="Only those on this plugin")
    ] = None,
    paused: Annotated[bool | None, Query(description="Only those that are, or are not")] = None,
    limit: Limit = FEW,
    cursor: Cursor = None,
) -> Response:
    """The newest registered first. A change shows about a second later."""
    async with access.context.temporal.client() as client:
        page = await page_of_tasks(
            client,
            access.tenant_id,
            plugin_id=plugin_id,
            paused=paused,
            limit=limit,
            cursor=cursor,
        )
    rows = [task.as_json() for task in page.items]
    return Reply({"tasks": rows, "next_cursor": page.cursor}).response()


@router.get(
    "/{task_id}",
    operation_id="showTask",
    summary="A task in full",
    response_model=None,
    responses=documented(TaskDocument)
    | {304: {"description": "Its specification still has a tag of `If-None-Match`"}}
    | problems(*ALWAYS, 409),
)
async def show(access: Reader, task_id: TaskId, if_none_match: IfNoneMatch = None) -> Response:
    """With its next times, newest runs and open attempts.

    The tag is that of the specification alone: 304 says nothing of runs and pauses.
    """
    known = condition_of(None, if_none_match)
    key = (access.tenant_id, task_id)
    async with access.context.temporal.client() as client:
        if known and known.excludes(tag := await tag_now(client, key)):
            return Response(None, HTTPStatus.NOT_MODIFIED, NO_STORE | etag_of(tag))
        detail = await show_task(client, *key)
    return Reply(detail.as_json(), headers=etag_of(detail.etag)).response()


@router.get(
    "/{task_id}/runs",
    operation_id="listRuns",
    summary="The runs of a task",
    response_model=None,
    responses=documented(RunList) | problems(*ALWAYS),
)
async def list_runs(
    access: Reader,
    task_id: TaskId,
    *,
    status: Annotated[RunState | None, Query(description="Only those in this state")] = None,
    started_since: Annotated[
        str | None,
        Query(alias="since", max_length=100, description="A time, or how long ago: `2h`"),
    ] = None,
    limit: Limit = FEW,
    cursor: Cursor = None,
) -> Response:
    """The latest first; the pages of `since=2h` are all of the two hours before the first one."""
    earliest = since(started_since, datetime.now(UTC)) if started_since is not None else None
    async with access.context.temporal.client() as client:
        page = await page_of_runs(
            client,
            access.tenant_id,
            task_id,
            status=status,
            since=earliest,
            limit=limit,
            cursor=cursor,
        )
    rows = [run.as_json() for run in page.items]
    return Reply({"runs": rows, "next_cursor": page.cursor}).response()


@router.get(
    "/{task_id}/why",
    operation_id="explainTask",
    summary="Why a run waits or ended so, or what the next fire meets",
    response_model=None,
    responses=documented(WhyDocument) | problems(*ALWAYS, 409),
)
async def why(
    access: Reader,
    task_id: TaskId,
    at: Annotated[
        str | None,
        Query(max_length=100, description="The fire of this time; else what is now, or is next"),
    ] = None,
) -> Response:
    """`at` is the fire's nominal time, or the time that stagger and jitter make of it."""
    moment = instant(at, "at") if at is not None else None

    async def work(client: Client) -> Reply:
        found = await explain(
            client,
            access.tenant_id,
            task_id,
            at=moment,
            now=datetime.now(UTC),
            task_queue=access.context.settings.task_queue,
        )
        return Reply(found.as_json())

    return (await at_length(access, work)).response()


def _tell(access: Access, done: Registered) -> None:
    """The audit of several tasks has what was done to how many; that of one has its tags."""
    changes = done.changes()
    if len(changes) == 1:
        [(key, change)] = changes.items()
        access.audit.about(task_id=key[1], result=change)
        access.audit.changed(done.before(key), done.after(key))
    else:
        counts = {change.value: list(changes.values()).count(change) for change in Change}
        access.audit.about(**{name: str(count) for name, count in counts.items() if count})
        access.audit.changed(done.digest(done.before), done.digest(done.after))


def _headers(done: Registered) -> dict[str, str]:
    [key] = done.changes()
    return etag_of(done.after(key)) | {"Location": f"/internal/tasks/{key[1]}"}
